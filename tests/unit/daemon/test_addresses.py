"""Addresses and interfaces of this host: the loopback interface has them everywhere."""

from __future__ import annotations

import socket

import pytest

from gcks.daemon.addresses import interface_index, own_addresses
from gcks.errors import LocalError

LOOPBACK = socket.if_nametoindex("lo")


def test_own_addresses_are_canonical_and_each_stands_once() -> None:
    found = own_addresses()
    assert "127.0.0.1" in found
    assert len(set(found)) == len(found)
    assert not any("%" in address for address in found)


@pytest.mark.parametrize(
    ("interface", "address", "index"),
    [
        ("lo", "192.0.2.1", LOOPBACK),
        (None, "127.0.0.1", LOOPBACK),
        (None, "192.0.2.1", 0),
        (None, "2001:db8:0::1", 0),
    ],
)
def test_an_interface_is_known_by_name_or_address(
    interface: str | None, address: str, index: int
) -> None:
    assert interface_index(interface, address) == index


def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(LocalError, match="no interface none9"):
        interface_index("none9", "127.0.0.1")

"""XFRM messages: sizes and places as linux/xfrm.h has them, and what the kernel can't do.

That a kernel accepts them, and what it then does, is shown in tests/kernel.
"""

from __future__ import annotations

import ctypes
import socket
from dataclasses import replace

import pytest

from gcks.dataplane import xfrm_wire as wire
from gcks.dataplane.options import DataPlaneOptions, features_of
from gcks.dataplane.xfrm import kernel_selector, refuse_features, shared_counter
from gcks.errors import LocalError
from gcks.member.data_plane import Direction
from gcks.wire.sa_usage import AggFrag, IpComp
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.install_sa import INSTALL

u8, u16, u32, u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


def struct(name: str, *fields: tuple[str, type]) -> type[ctypes.Structure]:
    """Lay a structure out as the platform's C compiler does: ctypes is the independent judge."""
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


address = u32 * 4
selector = struct(
    "xfrm_selector", ("daddr", address), ("saddr", address), ("dport", u16), ("dport_mask", u16),
    ("sport", u16), ("sport_mask", u16), ("family", u16), ("prefixlen_d", u8),
    ("prefixlen_s", u8), ("proto", u8), ("ifindex", ctypes.c_int), ("user", u32),
)  # fmt: skip
identifier = struct("xfrm_id", ("daddr", address), ("spi", u32), ("proto", u8))
limits = struct("xfrm_lifetime_cfg", ("limits", u64 * 8))
current = struct("xfrm_lifetime_cur", ("counts", u64 * 4))
stats = struct("xfrm_stats", ("counts", u32 * 3))
sa_info = struct(
    "xfrm_usersa_info", ("sel", selector), ("id", identifier), ("saddr", address),
    ("lft", limits), ("curlft", current), ("stats", stats), ("seq", u32), ("reqid", u32),
    ("family", u16), ("mode", u8), ("replay_window", u8), ("flags", u8),
)  # fmt: skip
sa_id = struct("xfrm_usersa_id", ("daddr", address), ("spi", u32), ("family", u16), ("proto", u8))
policy_info = struct(
    "xfrm_userpolicy_info", ("sel", selector), ("lft", limits), ("curlft", current),
    ("priority", u32), ("index", u32), ("dir", u8), ("action", u8), ("flags", u8), ("share", u8),
)  # fmt: skip
policy_id = struct("xfrm_userpolicy_id", ("sel", selector), ("index", u32), ("dir", u8))
template = struct(
    "xfrm_user_tmpl", ("id", identifier), ("family", u16), ("saddr", address), ("reqid", u32),
    ("mode", u8), ("share", u8), ("optional", u8), ("aalgos", u32), ("ealgos", u32),
    ("calgos", u32),
)  # fmt: skip

SPI = bytes.fromhex("01020304")
SELECTOR = kernel_selector(
    TrafficSelector.single("10.9.0.1", 17, 7), TrafficSelector.single("239.1.2.3", 17, 5000)
)
STATE = wire.State(
    50, SPI, "10.9.0.1", "239.1.2.3", wire.MODE_TUNNEL, 77, 32, 3600,
    (wire.Algorithm(wire.ATTR_AEAD, "rfc4106(gcm(aes))", bytes(36), 128),),
)  # fmt: skip


def test_a_state_stands_as_the_kernel_reads_it() -> None:
    octets = STATE.encode()
    info = sa_info.from_buffer_copy(octets)
    assert bytes(info.id.daddr)[:4] == socket.inet_aton("239.1.2.3")
    assert bytes(info.saddr)[:4] == socket.inet_aton("10.9.0.1")
    assert (info.id.proto, info.family, info.mode) == (50, socket.AF_INET, 1)
    assert (info.reqid, info.replay_window) == (77, 32)
    assert info.lft.limits[5] == 3600
    assert info.lft.limits[0] == 2**64 - 1
    assert wire.dumped_state_reqid(octets) == 77
    assert wire.dumped_state_id(octets) == wire.state_id("239.1.2.3", SPI, 50)
    assert len(wire.state_id("239.1.2.3", SPI, 50)) == ctypes.sizeof(sa_id)


def test_the_algorithm_attribute_follows_the_state() -> None:
    rest = STATE.encode()[ctypes.sizeof(sa_info) :]
    length, kind = int.from_bytes(rest[:2], "little"), int.from_bytes(rest[2:4], "little")
    assert (length, kind) == (len(rest), wire.ATTR_AEAD)
    assert rest[4:21] == b"rfc4106(gcm(aes))"
    assert int.from_bytes(rest[68:72], "little") == 288
    assert int.from_bytes(rest[72:76], "little") == 128


def test_a_policy_stands_as_the_kernel_reads_it() -> None:
    asked = wire.Template(50, SPI, "10.9.0.1", "239.1.2.3", wire.MODE_TUNNEL, 77)
    octets = wire.policy(SELECTOR, wire.DIR_OUT, wire.BLOCK, 9838, asked)
    info = policy_info.from_buffer_copy(octets)
    assert (info.dir, info.action, info.priority) == (1, 1, 9838)
    assert (socket.ntohs(info.sel.dport), info.sel.dport_mask) == (5000, 0xFFFF)
    assert (socket.ntohs(info.sel.sport), info.sel.proto) == (7, 17)
    assert (info.sel.prefixlen_d, info.sel.prefixlen_s) == (32, 32)
    found = template.from_buffer_copy(octets[ctypes.sizeof(policy_info) + 4 :])
    assert (found.reqid, found.mode, found.aalgos) == (77, 1, 2**32 - 1)
    assert bytes(found.saddr)[:4] == socket.inet_aton("10.9.0.1")
    assert wire.dumped_policy_priority(octets) == 9838
    deletion = policy_id.from_buffer_copy(wire.dumped_policy_id(octets))
    assert (deletion.dir, bytes(deletion.sel)) == (1, SELECTOR.encode())


def test_ipv6_states_have_whole_addresses() -> None:
    state = replace(STATE, source="fd00::1", destination="ff15::9")
    info = sa_info.from_buffer_copy(state.encode())
    assert bytes(info.id.daddr) == socket.inet_pton(socket.AF_INET6, "ff15::9")
    assert info.family == socket.AF_INET6


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (TrafficSelector.any(4, 17), TrafficSelector.from_network("239.1.2.3", 17, 5000, 5010)),
        (
            TrafficSelector(7, 17, 0, 65535, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 6))),
            TrafficSelector.single("239.1.2.3", 17, 5000),
        ),
    ],
)
def test_selectors_the_kernel_has_no_form_for_are_refused(
    source: TrafficSelector, destination: TrafficSelector
) -> None:
    with pytest.raises(LocalError, match="the kernel takes"):
        kernel_selector(source, destination)


def test_why_nothing_is_sent_on_a_shared_counter_mode_sa() -> None:
    """RFC 6054: the kernel can't put a Sender-ID into the IV."""
    assert "senders: single" in shared_counter(INSTALL)
    assert not shared_counter(replace(INSTALL, direction=Direction.IN))
    assert not shared_counter(replace(INSTALL, source=TrafficSelector.single("10.9.0.1", 17, 7)))


@pytest.mark.parametrize(
    ("needs", "name"),
    [({"label": b"s0\0"}, "label"), ({"aggfrag": AggFrag()}, "AGGFRAG"),
     ({"ipcomp": IpComp(2, 2)}, "IPComp")],
)  # fmt: skip
def test_an_sa_is_never_installed_without_what_it_needs(
    needs: dict[str, object], name: str
) -> None:
    """RFC 9478, RFC 9838 section 6.3: the ceiling refuses it first, the kernel's plane too."""
    refuse_features(INSTALL)
    with pytest.raises(LocalError, match=f"can't do {name}"):
        refuse_features(replace(INSTALL, **needs))  # type: ignore[arg-type]
    assert features_of(DataPlaneOptions("xfrm")) == frozenset()

"""Secrets at rest."""

from __future__ import annotations

import os

import pytest

from gcks.crypto.aead_box import AeadBox
from gcks.crypto.errors import IntegrityError

BOX = AeadBox(b"k" * 32, os.urandom)


def test_open_undoes_seal_at_the_same_place() -> None:
    sealed = BOX.seal(b"secret", b"group/demo")
    assert b"secret" not in sealed
    assert BOX.open(sealed, b"group/demo") == b"secret"


def test_the_same_secret_is_sealed_differently() -> None:
    assert BOX.seal(b"secret", b"") != BOX.seal(b"secret", b"")


def test_another_place_key_or_octet_is_noticed() -> None:
    sealed = BOX.seal(b"secret", b"here")
    changed = bytearray(sealed)
    changed[-1] ^= 1
    other = AeadBox(b"l" * 32, os.urandom)
    for box, octets, place in (
        (BOX, sealed, b"there"),
        (other, sealed, b"here"),
        (BOX, bytes(changed), b"here"),
        *((BOX, sealed[:size], b"here") for size in range(len(sealed))),
    ):
        with pytest.raises(IntegrityError):
            box.open(octets, place)


def test_a_master_key_has_32_octets() -> None:
    with pytest.raises(ValueError, match="32"):
        AeadBox(bytes(31), os.urandom)

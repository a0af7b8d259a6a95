"""wrapping.json: RFC 5649 as WRAP_KEY and SA_KEY carry it (RFC 9838 section 4.5.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gcks.crypto.errors import IntegrityError
from gcks.crypto.key_wrap import unwrap, wrap
from gcks.wire.kd import WrappedKey

COPIED = Path(__file__).parent / "data"
VECTORS = COPIED if COPIED.is_dir() else Path("/work/shared/vectors")
WRAPPINGS = json.loads((VECTORS / "wrapping.json").read_text())["vectors"]


@pytest.fixture(params=WRAPPINGS, ids=lambda one: one["title"])
def wrapping(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_wrap(wrapping: dict[str, Any]) -> None:
    kwk, key = (bytes.fromhex(wrapping[name]) for name in ("KWK", "plaintext"))
    assert wrap(kwk, key).hex() == wrapping["encrypted_key"]


def test_unwrap(wrapping: dict[str, Any]) -> None:
    kwk, wrapped = (bytes.fromhex(wrapping[name]) for name in ("KWK", "encrypted_key"))
    assert unwrap(kwk, wrapped).hex() == wrapping["plaintext"]


def test_the_wire_form_has_both_ids_before_it(wrapping: dict[str, Any]) -> None:
    wrapped = bytes.fromhex(wrapping["encrypted_key"])
    key = WrappedKey(wrapping["key_id"], wrapping["kwk_id"], wrapped)
    assert key.encode().hex() == wrapping["wrapped_key"]


def test_every_changed_octet_is_noticed(wrapping: dict[str, Any]) -> None:
    kwk, wrapped = (bytes.fromhex(wrapping[name]) for name in ("KWK", "encrypted_key"))
    for place in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            unwrap(kwk, bytes(changed))

"""The Working Key Path against appendix A's example (../shared/vectors/kd.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gcks.errors import Discard, DropReason
from gcks.iana import PayloadType
from gcks.member.key_path import KeyPath, PathKey, open_sa_key
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import decode_chain

VECTORS = Path(__file__).parent / "data"
KWA = 3


def vector(title: str) -> dict[str, Any]:
    vectors = json.loads((VECTORS / "kd.json").read_text())["vectors"]
    return next(one for one in vectors if title in one["title"])


def key_download(one: dict[str, Any]) -> KeyDownload:
    (payload,) = decode_chain(PayloadType.KD, bytes.fromhex(one["output"]["payload_if_last"]))
    assert isinstance(payload, KeyDownload)
    return payload


def path_of(one: dict[str, Any], ids: list[int]) -> KeyPath:
    keys = one["inputs"]["tree_keys"]
    return tuple(PathKey(number, bytes.fromhex(keys[str(number)])) for number in ids)


def test_registration_of_gm_a_gives_the_path_1_3_7() -> None:
    """RFC 9838 appendix A.2, section 3.3: a path that ends with GSK_w is kept whole."""
    one = vector("Appendix A.2")
    kd = key_download(one)
    opened = open_sa_key(
        kd.group_bags[0].sa_keys,
        kd.member_bags[0].wrap_keys,
        kwa=KWA,
        default_kwk=bytes.fromhex(one["inputs"]["GSK_w"]),
        working=(),
        keymat_octets=68,
    )
    assert opened.keymat.hex() == one["inputs"]["K_sa1"]
    assert [key.key_id for key in opened.path] == one["working_key_path_A"]
    assert opened.path == path_of(one, one["working_key_path_A"])


@pytest.mark.parametrize("member", "ABCDEGH")
def test_exclusion_of_gm_f_rekeys_everybody_else(member: str) -> None:
    """RFC 9838 appendix A.4, section 3.3 (ruling 30)."""
    one = vector("Appendix A.4")
    kd = key_download(one)
    opened = open_sa_key(
        kd.group_bags[0].sa_keys,
        kd.member_bags[0].wrap_keys,
        kwa=KWA,
        default_kwk=bytes(32),
        working=path_of(one, one["inputs"]["paths_before"][member]),
        keymat_octets=68,
    )
    assert opened.keymat.hex() == one["inputs"]["K_sa3"]
    assert opened.path == path_of(one, one["paths_after"][member])


def test_excluded_gm_f_finds_no_key_path() -> None:
    """RFC 9838 section 3.3: no new Key Path means the GM is excluded."""
    one = vector("Appendix A.4")
    kd = key_download(one)
    with pytest.raises(Discard) as caught:
        open_sa_key(
            kd.group_bags[0].sa_keys,
            kd.member_bags[0].wrap_keys,
            kwa=KWA,
            default_kwk=bytes(32),
            working=path_of(one, one["inputs"]["paths_before"]["F"]),
            keymat_octets=68,
        )
    assert caught.value.reason is DropReason.NO_KEY_PATH


def test_the_simple_key_download_leaves_the_path_alone() -> None:
    """RFC 9838 section 3.3, appendix A.3: an empty new path changes nothing."""
    one = vector("simple")
    kd = key_download(one)
    before = (PathKey(9, b"\x09" * 32),)
    opened = open_sa_key(
        kd.group_bags[0].sa_keys,
        (),
        kwa=KWA,
        default_kwk=bytes.fromhex(one["inputs"]["GSK_w"]),
        working=before,
        keymat_octets=68,
    )
    assert opened.keymat.hex() == one["inputs"]["rekey_keymat"]
    assert opened.path == before

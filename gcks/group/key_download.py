"""KD payloads and the keys in them (RFC 9838 sections 3.4, 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gcks.crypto.encr import encr_key_octets, integ_key_octets
from gcks.crypto.key_wrap import kwk_octets, wrap
from gcks.errors import LocalError
from gcks.iana import ProtocolId, TransformType
from gcks.wire.gsa import GsaPolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload, MemberKeyBag, WrappedKey
from gcks.wire.transform import Transform

DEFAULT_KWK_ID = 0
SA_KEY_ID = 0


@dataclass(frozen=True, slots=True)
class RekeyKeys:
    """The keys of a Rekey SA; `gsk_a` is empty with an AEAD cipher."""

    gsk_e: bytes = field(repr=False)
    gsk_a: bytes = field(repr=False)
    gsk_w: bytes = field(repr=False)


def find_transform(transforms: Iterable[Transform], kind: TransformType) -> Transform | None:
    return next((t for t in transforms if t.type == kind), None)


def key_sizes(transforms: Sequence[Transform]) -> tuple[int, int, int]:
    """Return the octets of encryption, integrity and key wrap key of a group SA."""
    encr = find_transform(transforms, TransformType.ENCR)
    integ = find_transform(transforms, TransformType.INTEG)
    kwa = find_transform(transforms, TransformType.KWA)
    return (
        encr_key_octets(encr.id, encr.key_length) if encr else 0,
        integ_key_octets(integ.id) if integ else 0,
        kwk_octets(kwa.id) if kwa else 0,
    )


def keymat_octets(transforms: Sequence[Transform]) -> int:
    """Return how much keying material an SA needs (section 4.5.2.1)."""
    return sum(key_sizes(transforms))


def rekey_keys(keymat: bytes, policy: GsaPolicy) -> RekeyKeys:
    """Split GSK_e | GSK_a | GSK_w = KEYMAT (section 3.4).

    Raises LocalError where the size isn't what the transforms need.
    """
    e, a, w = key_sizes(policy.transforms)
    if policy.protocol != ProtocolId.GIKE_UPDATE or len(keymat) != e + a + w:
        raise LocalError(f"{len(keymat)} octets of keying material, not {e + a + w}")
    return RekeyKeys(keymat[:e], keymat[e : e + a], keymat[e + a :])


def group_key_bag(protocol: int, spi: bytes, kwk_id: int, kwk: bytes, keymat: bytes) -> GroupKeyBag:
    """Wrap one SA's keying material: Key ID zero, KWK ID zero for GSK_w (section 3.3)."""
    key = WrappedKey(SA_KEY_ID, kwk_id, wrap(kwk, keymat))
    return GroupKeyBag(protocol, spi, (key,))


def member_key_download(
    keys: Iterable[tuple[int, bytes, bytes]],
    kwk: bytes,
    path: Sequence[tuple[int, bytes]],
    auth_key: bytes | None = None,
    sender_ids: tuple[int, ...] = (),
) -> KeyDownload:
    """Build the KD payload of a registration with a key tree (section 3.2, appendix A.2).

    `path` holds Key ID and key from the member's own upwards: the member's is
    wrapped under GSK_w (`kwk`), each other under the one below it, and the keying
    material of the Rekey SA under the topmost, never under GSK_w (ruling 20).
    """
    bags = tuple(
        group_key_bag(protocol, spi, *path[-1], keymat)
        if protocol == ProtocolId.GIKE_UPDATE
        else group_key_bag(protocol, spi, DEFAULT_KWK_ID, kwk, keymat)
        for protocol, spi, keymat in keys
    )
    below = [(DEFAULT_KWK_ID, kwk), *path]
    wraps = tuple(
        WrappedKey(key_id, kwk_id, wrap(around, key))
        for (kwk_id, around), (key_id, key) in zip(below, path, strict=False)
    )
    return KeyDownload(bags, (MemberKeyBag(wraps[::-1], auth_key, sender_ids),))


def tree_key_download(
    protocol: int,
    spi: bytes,
    keymat: bytes,
    tops: Iterable[tuple[int, bytes]],
    wrap_keys: tuple[WrappedKey, ...],
    auth_key: bytes | None = None,
) -> KeyDownload:
    """Build the KD payload of a message that shuts members out (appendix A.4).

    The one new Rekey SA's keying material stands under every key of `tops`.
    """
    sa_keys = tuple(WrappedKey(SA_KEY_ID, key_id, wrap(key, keymat)) for key_id, key in tops)
    own = wrap_keys or auth_key is not None
    member = (MemberKeyBag(wrap_keys, auth_key, ()),) if own else ()
    return KeyDownload((GroupKeyBag(protocol, spi, sa_keys),), member)


def key_download(
    keys: Iterable[tuple[int, bytes, bytes]],
    kwk: bytes,
    auth_key: bytes | None = None,
    sender_ids: tuple[int, ...] = (),
) -> KeyDownload:
    """Build a KD payload from (protocol, SPI, keying material), all under one GSK_w."""
    bags = tuple(
        group_key_bag(protocol, spi, DEFAULT_KWK_ID, kwk, keymat) for protocol, spi, keymat in keys
    )
    own = auth_key is not None or sender_ids
    member = (MemberKeyBag((), auth_key, sender_ids),) if own else ()
    return KeyDownload(bags, member)

"""Names of algorithms as operators write them, in the manner of other IKE daemons.

"aes256gcm16-prfsha256-x25519-kw256" is an IKE proposal, "aes256-sha256" an ESP
suite, "sha256" an AH one.  Several keywords of one kind offer a choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from gcks.errors import Unfit
from gcks.iana import Encr, Integ, Ke, Kwa, Prf, ProtocolId, TransformType
from gcks.ike.negotiation import is_complete
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform


def _encr(number: Encr, bits: int | None = None) -> Transform:
    return Transform(TransformType.ENCR, number, bits)


ENCR: Final = {
    "aes128gcm16": _encr(Encr.AES_GCM_16, 128),
    "aes192gcm16": _encr(Encr.AES_GCM_16, 192),
    "aes256gcm16": _encr(Encr.AES_GCM_16, 256),
    "chacha20poly1305": _encr(Encr.CHACHA20_POLY1305),
    "aes128": _encr(Encr.AES_CBC, 128),
    "aes192": _encr(Encr.AES_CBC, 192),
    "aes256": _encr(Encr.AES_CBC, 256),
}
INTEG: Final = {
    "sha256": Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128),
    "sha384": Transform(TransformType.INTEG, Integ.HMAC_SHA2_384_192),
    "sha512": Transform(TransformType.INTEG, Integ.HMAC_SHA2_512_256),
}
PRF: Final = {
    "prfsha256": Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
    "prfsha384": Transform(TransformType.PRF, Prf.HMAC_SHA2_384),
    "prfsha512": Transform(TransformType.PRF, Prf.HMAC_SHA2_512),
}
KE: Final = {
    "x25519": Transform(TransformType.KE, Ke.CURVE25519),
    "ecp256": Transform(TransformType.KE, Ke.ECP_256),
    "ecp384": Transform(TransformType.KE, Ke.ECP_384),
    "ecp521": Transform(TransformType.KE, Ke.ECP_521),
    "modp2048": Transform(TransformType.KE, Ke.MODP_2048),
    "modp3072": Transform(TransformType.KE, Ke.MODP_3072),
    "modp4096": Transform(TransformType.KE, Ke.MODP_4096),
}
KWA: Final = {
    "kw128": Transform(TransformType.KWA, Kwa.KW_5649_128),
    "kw192": Transform(TransformType.KWA, Kwa.KW_5649_192),
    "kw256": Transform(TransformType.KWA, Kwa.KW_5649_256),
}
IKE: Final = {**ENCR, **INTEG, **PRF, **KE, **KWA}
REFUSED: Final = {
    "kwarx": (
        "'kwarx': KW_ARX has no maintained implementation with published vectors, and one in pure"
        " Python could not be constant-time",
        "choose kw256, kw192 or kw128",
    ),
}
"""Algorithms that RFC 9838 names and gcks doesn't do: why, and what else."""

EXAMPLE_IKE: Final = "aes256gcm16-prfsha256-x25519-kw256"
DEFAULT_IKE: Final = (
    "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512"
    "-x25519-ecp256-ecp384-modp3072-modp2048-kw256-kw192-kw128",
    "aes256-aes128-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512"
    "-x25519-ecp256-ecp384-modp3072-modp2048-kw256-kw192-kw128",
)
"""What both roles offer and accept unless told otherwise."""


def parse_ike(proposals: Iterable[str]) -> SecurityAssociation:
    """Read IKE proposals, most wanted first (RFC 7296 section 3.3).

    Raises `Unfit` naming the word, and for a proposal that isn't complete, or none at
    all.
    """
    complete = []
    for number, text in enumerate(proposals, 1):
        transforms = tuple(_look_up(word, IKE) for word in text.split("-"))
        proposal = Proposal(number, ProtocolId.IKE, b"", transforms)
        if not is_complete(proposal):
            raise Unfit(
                f"{text!r}: a proposal needs a cipher, a PRF, a key exchange, a key wrap (kw256), "
                "and with aes128 to aes256 an integrity algorithm",
                f"write it such as {EXAMPLE_IKE}",
            )
        complete.append(proposal)
    if not complete:
        raise Unfit("at least one proposal is needed", "add one, or leave the key out")
    return SecurityAssociation(tuple(complete))


def parse_esp(text: str) -> tuple[Transform, Transform | None]:
    """Read an ESP or Rekey SA suite: cipher, and integrity algorithm unless it is AEAD.

    Raises `Unfit` naming the word.  That the two fit is for the rules of groups.
    """
    first, _, second = text.partition("-")
    return _look_up(first, ENCR), _look_up(second, INTEG) if second else None


def parse_ah(text: str) -> Transform:
    """Read an AH suite: an integrity algorithm.  Raises `Unfit` naming the word."""
    return _look_up(text, INTEG)


def parse_kwa(text: str) -> int:
    """Read a key wrap algorithm; return its transform ID.  Raises `Unfit` naming the word."""
    return _look_up(text, KWA).id


def _look_up(word: str, table: dict[str, Transform]) -> Transform:
    try:
        return table[word]
    except KeyError:
        raise unknown(word, table) from None


def unknown(word: str, table: Iterable[str]) -> Unfit:
    """Return the error that says why a word is no algorithm of the table."""
    if word in REFUSED:
        return Unfit(*REFUSED[word])
    close = get_close_matches(word, table, 1)
    remedy = f"did you mean {close[0]}?" if close else "choose one of these"
    return Unfit(f"{word!r} is none of {', '.join(table)}", remedy)

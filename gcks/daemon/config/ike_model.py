"""The keys under `ike` that server and member share, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler

from gcks.daemon.config.notation import Notation, complete, text
from gcks.daemon.config.values import Octets, Seconds
from gcks.errors import Unfit
from gcks.iana import FIRST_PRIVATE_STATUS_TYPE, LAST_NOTIFY_TYPE
from gcks.ike.ike_rekey import OptimizedRekey
from gcks.ike.keywords import DEFAULT_IKE, EXAMPLE_IKE, IKE, parse_ike
from gcks.ike.retransmission import Retransmission

MIN_FRAGMENT_OCTETS = 256
MAX_FRAGMENT_OCTETS = 65_000


class Section(BaseModel):
    """A part of the file: unknown keys are errors; a key's docstring explains it to operators."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> Any:
        schema = handler(core)
        complete(cls, handler.resolve_ref_schema(schema)["properties"])
        return schema


def _ike_proposals(value: list[str]) -> list[str]:
    parse_ike(value)
    return value


def _fragment_size(value: int) -> int:
    if value and not MIN_FRAGMENT_OCTETS <= value <= MAX_FRAGMENT_OCTETS:
        raise Unfit(
            f"{value} octets",
            f"give {MIN_FRAGMENT_OCTETS} to {MAX_FRAGMENT_OCTETS}, or 0 for never",
        )
    return value


_WORD: Final = "|".join(IKE)
Proposal = Annotated[
    str, Notation("proposal", text(f"({_WORD})(-({_WORD}))*", examples=[EXAMPLE_IKE]))
]
FragmentSize = Annotated[Octets, AfterValidator(_fragment_size)]
Code = Annotated[int, Field(ge=FIRST_PRIVATE_STATUS_TYPE, le=LAST_NOTIFY_TYPE)]


class OptimizedRekeySection(Section):
    supported: Code = OptimizedRekey().supported
    """Type of the notification OPTIMIZED_REKEY_SUPPORTED. IANA has no number yet, so both sides
    must be given the same one of private use."""
    rekey: Code = OptimizedRekey().rekey
    """Type of the notification OPTIMIZED_REKEY. IANA has no number yet, so both sides must be given
    the same one of private use."""


class CommonIkeSection(Section):
    proposals: Annotated[list[Proposal], AfterValidator(_ike_proposals)] = list(DEFAULT_IKE)
    """Algorithms of the IKE SA, most wanted first; the words of one proposal are joined by `-`, and
    of several of one kind the peers choose. Ciphers: aes128gcm16, aes192gcm16, aes256gcm16,
    chacha20poly1305, and with an integrity algorithm (sha256, sha384, sha512) aes128, aes192,
    aes256. PRFs: prfsha256, prfsha384, prfsha512. Key exchanges: x25519, ecp256, ecp384, ecp521,
    modp2048, modp3072, modp4096. Key wraps: kw128, kw192, kw256."""
    rekey_after: Seconds = 14_400.0
    """Age at which an IKE SA that stays open is rekeyed (RFC 7296 section 2.8). Shorten it where a
    policy limits the age of keys."""
    liveness: Seconds = 60.0
    """Silence after which the peer of an open IKE SA is asked whether it lives (RFC 7296 section
    2.4). If it doesn't answer, the IKE SA is closed."""
    fragment_size: FragmentSize = 1200
    """Octets above which IKE messages go out in fragments (RFC 7383), 256 to 65000; 0 means never,
    and fragments are not offered. Lower it where the path loses large packets."""
    optimized_rekey: OptimizedRekeySection | None = OptimizedRekeySection()
    """Lets an IKE SA be rekeyed without negotiating algorithms again
    (draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt), where the peer can do it too. `null` for regular
    rekeys only."""
    retransmit_first: Seconds
    retransmit_factor: Annotated[float, Field(ge=1, le=10)]
    retransmit_tries: Annotated[int, Field(ge=1, le=20)]


def retransmission(section: CommonIkeSection) -> Retransmission:
    """Return how requests are sent again."""
    return Retransmission(
        section.retransmit_first, section.retransmit_factor, section.retransmit_tries
    )


def optimized_rekey(section: CommonIkeSection) -> OptimizedRekey | None:
    """Return the notifications of the optimized rekey; None where it is off."""
    codes = section.optimized_rekey
    return OptimizedRekey(codes.supported, codes.rekey) if codes is not None else None

"""The keys under `ike` that server and member share, and what becomes of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gcks.daemon.config.values import Octets, Seconds
from gcks.iana import FIRST_PRIVATE_STATUS_TYPE, LAST_NOTIFY_TYPE
from gcks.ike.ike_rekey import OptimizedRekey
from gcks.ike.keywords import DEFAULT_IKE, parse_ike
from gcks.ike.retransmission import Retransmission

MIN_FRAGMENT_OCTETS = 256
MAX_FRAGMENT_OCTETS = 65_000


class Section(BaseModel):
    """A part of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _ike_proposals(value: list[str]) -> list[str]:
    parse_ike(value)
    return value


def _fragment_size(value: int) -> int:
    if value and not MIN_FRAGMENT_OCTETS <= value <= MAX_FRAGMENT_OCTETS:
        raise ValueError(
            f"{value} octets; give {MIN_FRAGMENT_OCTETS} to {MAX_FRAGMENT_OCTETS}, or 0 for never"
        )
    return value


FragmentSize = Annotated[Octets, AfterValidator(_fragment_size)]
Code = Annotated[int, Field(ge=FIRST_PRIVATE_STATUS_TYPE, le=LAST_NOTIFY_TYPE)]


class OptimizedRekeySection(Section):
    supported: Code = OptimizedRekey().supported
    rekey: Code = OptimizedRekey().rekey


class CommonIkeSection(Section):
    proposals: Annotated[list[str], AfterValidator(_ike_proposals)] = list(DEFAULT_IKE)
    rekey_after: Seconds = 14_400.0
    liveness: Seconds = 60.0
    fragment_size: FragmentSize = 1200
    optimized_rekey: OptimizedRekeySection | None = OptimizedRekeySection()
    retransmit_factor: Annotated[float, Field(ge=1, le=10)]
    retransmit_first: Seconds
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

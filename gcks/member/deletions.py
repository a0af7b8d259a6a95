"""What the Delete payloads of a message ask for (RFC 9838 sections 2.4.3 and 4.6, ruling 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gcks.iana import ProtocolId
from gcks.member.holding import Holding
from gcks.member.opening import GsaInvalid, SaKey
from gcks.wire.delete import Delete
from gcks.wire.payloads import Payload

_DELETABLE: Final = (ProtocolId.NONE, ProtocolId.AH, ProtocolId.ESP, ProtocolId.GIKE_UPDATE)


@dataclass(frozen=True, slots=True)
class Deletions:
    """All Delete payloads of one message together."""

    whole_gsa: bool = False
    all_data: bool = False
    rekey: frozenset[bytes] = frozenset()
    data: frozenset[SaKey] = frozenset()

    def carried_out(self, held: Holding, before: Holding, now: float) -> tuple[Holding, int]:
        """Schedule the removals after the Deactivation Time Delay (section 2.4.1.4).

        `before` has the SAs known before the message: all of them are meant by "all".
        Return what is held then, and how many Data-Security SAs go.
        """
        keys = frozenset(sa.key for sa in before.data_sas) if self.all_data else self.data
        at = now + held.dtd_seconds
        count = sum(sa.key in keys for sa in held.data_sas)
        return held.without_rekeys(self.rekey, at).without_data(keys, at), count


def read_deletions(payloads: Sequence[Payload]) -> Deletions:
    """Collect the Delete payloads; an all-zero SPI stands for all.  Raises GsaInvalid."""
    whole_gsa = all_data = False
    rekey: set[bytes] = set()
    data: set[SaKey] = set()
    for payload in payloads:
        if not isinstance(payload, Delete):
            continue
        protocol = ProtocolId(payload.protocol)
        if protocol not in _DELETABLE:
            raise GsaInvalid(f"Delete for {protocol}")
        zero = [not any(spi) for spi in payload.spis]
        if protocol is ProtocolId.NONE:
            if not all(zero):
                raise GsaInvalid("Delete for protocol 0 with an SPI")
            whole_gsa = True
        elif protocol is ProtocolId.GIKE_UPDATE:
            whole_gsa = whole_gsa or any(zero)
            rekey.update(payload.spis)
        else:
            all_data = all_data or any(zero)
            data.update((protocol, spi) for spi in payload.spis)
    return Deletions(whole_gsa, all_data, frozenset(rekey), frozenset(data))

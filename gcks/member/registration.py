"""Judging the response to a registration: all that an earlier one gave is replaced.

RFC 9838 section 2.3.3.  Nothing changes here; what comes of it is a `Joined`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gcks.group.attribute_rules import check_registration
from gcks.group.usage import Usage, read_usage
from gcks.member.building import check_sender_ids
from gcks.member.decision import Joined
from gcks.member.holding import Holding
from gcks.member.opening import GsaInvalid, KeySource, OpenedGsa, gsa_and_kd, key_entries, open_gsa
from gcks.member.terms import Terms
from gcks.member.verifier import read_verifier
from gcks.wire.gsa import GroupWidePolicy
from gcks.wire.payloads import Payload


def judge_registration(
    terms: Terms, holding: Holding, payloads: Sequence[Payload], source: KeySource, now: float
) -> Joined:
    """Decide what is held after a registration (section 2.3.3).

    `source` has KWA and GSK_w of the IKE SA.  Raises PolicyUnacceptable for what is beyond
    the ceiling, another GcksError for what contradicts RFC 9838.
    """
    gsa, kd = gsa_and_kd(payloads)
    usage = read_usage(payloads)
    check_registration(gsa, kd, sender=terms.membership.sender)
    terms.check(gsa, usage, holding)
    opened = open_gsa(gsa, kd, source)
    check_sender_ids(opened.sender_ids, opened.sender_id_bits)
    begun = _begun_anew(holding, opened, usage)
    if len(terms.usable(begun, opened)) < len(opened.data):
        raise GsaInvalid("a counter-mode SA to send on, but no Sender-ID")
    after = _with_rekey(terms, _with_data(terms, begun, opened, now), opened, now)
    return Joined(after.advanced(now), tuple(key_entries(terms.name, opened)), len(opened.data))


def _begun_anew(holding: Holding, opened: OpenedGsa, usage: Usage) -> Holding:
    """Replace all but the SAs."""
    begun = replace(
        holding,
        usage=usage,
        verifier=read_verifier(opened),
        path=opened.path,
        sender_ids=opened.sender_ids,
        sender_id_bits=opened.sender_id_bits,
        next_rekey_spis=opened.rekey.policy.next_spis if opened.rekey is not None else (),
    )
    return begun.with_delays(opened.group_wide or GroupWidePolicy())


def _with_data(terms: Terms, holding: Holding, opened: OpenedGsa, now: float) -> Holding:
    """Install what came, and retire what came not."""
    installed = holding.with_data(terms.data_sas(holding, opened.data, now))
    kept = opened.data_keys
    gone = [sa.key for sa in installed.data_sas if sa.key not in kept]
    return installed.without_data(gone, now + holding.dtd_seconds)


def _with_rekey(terms: Terms, holding: Holding, opened: OpenedGsa, now: float) -> Holding:
    """Take over the Rekey SA; others end at once, and all where there is none any more."""
    if opened.rekey is None:
        return holding.without_rekeys([sa.spi for sa in holding.rekey_sas], now)
    return holding.with_rekey(terms.rekey_sa(opened.rekey, now)).without_replaced_rekeys(now)

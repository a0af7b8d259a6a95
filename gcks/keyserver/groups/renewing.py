"""New SAs in the place of old ones, and the messages that tell of them: make before break.

A message over the present Rekey SA brings the new SAs and deletes the old ones, which the
server keeps for as long as members do (ATD and DTD, RFC 9838 section 4.4.3.1.1).  GMs that
are rekeyed in-band are told over their IKE SAs: `Change.to_push`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count

from gcks.crypto.signature import SigningKey
from gcks.events import SaCreated
from gcks.group.key_download import keymat_octets, rekey_keys
from gcks.group.rekey_message import build_rekey, envelope, rekey_cipher
from gcks.group.spread import spread_notify
from gcks.ike.window import MESSAGE_ID_BITS
from gcks.journal import (
    AuthKeySaved,
    MessageIdReserved,
    RekeyMessageSaved,
    SaSaved,
    SpisReserved,
)
from gcks.keyserver.groups.copies import address_of
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.group import names_of, rekey_policy
from gcks.keyserver.groups.key_tree import TreeChange
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.policy import IMPLICIT, RekeyPolicy
from gcks.keyserver.groups.rekeying import Renewal, rekey_payloads, reminder_payloads
from gcks.keyserver.groups.reminders import Reminder
from gcks.keyserver.groups.sa_set import REKEY, protocol_of
from gcks.keyserver.groups.signing_keys import is_slow
from gcks.keyserver.groups.steps import renew_sa
from gcks.wire.payloads import Payload


def renew(decision: Decision, names: Iterable[str], tree: TreeChange | None = None) -> None:
    """Replace SAs, and send the first copy of the message that tells it."""
    replace_and_tell(decision, names, tree)
    send_due(decision)


def replace_and_tell(
    decision: Decision, names: Iterable[str], tree: TreeChange | None = None
) -> None:
    """Replace the named SAs, and plan the message that tells the members.

    What the policy knows no more is dropped.  `tree` comes with the Rekey SA alone.
    """
    group, state = decision.group, decision.state
    names = list(dict.fromkeys(names))
    configured = set(names_of(group.policy))
    wanted = [name for name in names if name in configured]
    dropped = [name for name in names if name not in configured]
    over, message_id = state.sas.rekey, state.next_message_id
    if over is not None and group.last_message and REKEY not in wanted:
        wanted.insert(0, REKEY)
    known = state.sas.current
    replaced = [known[name] for name in (*wanted, *dropped) if name in known and name != REKEY]
    replace_sas(decision, wanted, dropped)
    renewal = Renewal(
        created=tuple(state.sas.current[name] for name in sorted(wanted)),
        deleted=tuple(replaced),
        next_spis=state.sas.next_spis,
    )
    tell_created(decision, renewal.created)
    decision.change.to_push[group.name] = None
    if over is None:
        return
    gsk_w = rekey_keys(over.keymat, over.policy).gsk_w
    key = _fresh_auth_key(decision) if REKEY in wanted else None
    auth_key = key.auth_key(group.algorithm) if key is not None else None
    payloads = rekey_payloads(renewal, gsk_w, group.policy, tree, auth_key)
    tell_members(decision, payloads, over, message_id, brings_rekey_sa=REKEY in wanted)
    if key is not None:  # from now on; the message that tells it has the old key's signature
        _keep_auth_key(decision, rekey_policy(group.policy), key)


def replace_sas(decision: Decision, wanted: Iterable[str], dropped: Iterable[str] = ()) -> None:
    """Make new SAs for the wanted names; what stood there, and what is dropped, is replaced."""
    sas, retire_at = decision.state.sas, decision.now + decision.group.overlap_seconds()
    for name in wanted:
        spi = sas.next_spis.get(name) or _draw_spi(decision, name)
        policy = decision.group.wanted_policy(name, spi, decision.group.policy)
        if policy is None:
            continue
        _retire(decision, name, retire_at)
        lifetime = policy.lifetime_seconds or 0
        saved = SaSaved(
            group=decision.name,
            protocol=policy.protocol,
            spi=spi,
            name=name,
            policy=policy.encode(),
            keymat=decision.entropy(keymat_octets(policy.transforms)),  # section 2.5.1: unique
            created_at=decision.wall,
            expires_at=decision.wall + lifetime,
        )
        next_spi = SpisReserved(decision.name, name, policy.protocol, _draw_spi(decision, name))
        decision.record(saved, next_spi)
    for name in dropped:
        _retire(decision, name, retire_at)


def _draw_spi(decision: Decision, name: str) -> bytes:
    return decision.spis.draw(protocol_of(decision.group.policy.data_sa(name)))


def _retire(decision: Decision, name: str, at: float) -> None:
    """Take the SA of that name, if there is one, out of use; keep it until then."""
    sa = decision.state.sas.current.get(name)
    if sa is not None:
        decision.record(sa.saved(decision.name, retire_at=decision.posix(at)))
        decision.cancel([renew_sa(name)])


def tell_created(decision: Decision, sas: Iterable[LiveSa] | None = None) -> None:
    """Tell of new SAs: of these, or of all."""
    for sa in decision.state.sas.current.values() if sas is None else sas:
        decision.tell(SaCreated(decision.name, sa.protocol, sa.spi.hex(), sa.lifetime_seconds))


# --- messages ---------------------------------------------------------------------------


def tell_members(
    decision: Decision,
    payloads: Sequence[Payload],
    over: LiveSa,
    message_id: int,
    *,
    brings_rekey_sa: bool = False,
) -> None:
    """Build a GSA_REKEY, and plan its copies and reminders."""
    group, rekey = decision.group, rekey_policy(decision.group.policy)
    saved = _message(decision, payloads, over, message_id)
    group.outbox.add(saved, rekey, decision.now)
    if brings_rekey_sa:
        group.brought_rekey_sa = saved
    plan_reminders(decision, decision.now + rekey.spread_seconds)


def plan_reminders(decision: Decision, at: float) -> None:
    """Plan reminders of the newest message, whose last copy goes out at that time."""
    rekey = decision.group.policy.rekey
    if rekey is not None and rekey.reminders:
        decision.group.reminders.begin(at)
    else:
        decision.group.reminders.end()


def remind(decision: Decision) -> None:
    """Tell the current state again to who was cut off."""
    group, sas, now = decision.group, decision.state.sas, decision.now
    if group.reminders.take() is Reminder.LATE_COPY:
        if group.brought_rekey_sa is not None:
            group.outbox.remind(group.brought_rekey_sa, now, late=True)
        return
    over = sas.rekey
    if over is None or not sas.data or not decision.state.members or group.last_message:
        return
    gsk_w = rekey_keys(over.keymat, over.policy).gsk_w
    payloads = reminder_payloads(sas, gsk_w, group.policy, now)
    saved = _message(decision, payloads, over, decision.state.next_message_id)
    group.outbox.remind(saved, now)


def send_due(decision: Decision) -> None:
    """Send the copies that are due, and record which messages are all out."""
    for message in decision.group.outbox.send_due(decision.now, decision.change):
        decision.record(replace(message, datagrams=()))  # nothing to repeat


def _message(
    decision: Decision, payloads: Sequence[Payload], over: LiveSa, message_id: int
) -> RekeyMessageSaved:
    """Build a message and record it with its Message ID, before anybody can see it."""
    payloads = (*payloads, spread_notify(decision.group.spread))
    saved = RekeyMessageSaved(
        group=decision.name,
        spi=over.spi,
        message_id=message_id,
        datagrams=_build(decision, payloads, over, message_id),
        sent_at=decision.wall,
        # To where the members of `over` listen: a reload may change that.
        source=address_of(over.policy.source),
        destination=address_of(over.policy.destination),
    )
    decision.record(MessageIdReserved(decision.name, over.spi, message_id + 1), saved)
    return saved


def _build(
    decision: Decision, payloads: Sequence[Payload], over: LiveSa, message_id: int
) -> tuple[bytes, ...]:
    keys = rekey_keys(over.keymat, over.policy)
    cipher = rekey_cipher(over.policy.transforms, keys)
    limit = rekey_policy(decision.group.policy).fragment_octets
    # Section 2.4.1.2: only if all GMs have negotiated fragmentation.
    max_octets = limit if decision.state.members.all_reassemble else None
    ivs = _rekey_ivs(decision, cipher.iv_octets, cipher.block_octets, message_id)
    head = envelope(over.spi, message_id)
    return build_rekey(cipher, ivs, head, payloads, decision.group.signer, max_octets)


def _rekey_ivs(
    decision: Decision, octets: int, block_octets: int, message_id: int
) -> Iterator[bytes]:
    """AEAD: fragment and Message ID, never twice under one key; CBC: unpredictable."""
    for number in count():
        aead = number << MESSAGE_ID_BITS | message_id
        yield aead.to_bytes(octets, "big") if block_octets == 1 else decision.entropy(octets)


# --- the key that signs -----------------------------------------------------------------


def make_auth_key(decision: Decision) -> None:
    """Make the first key that signs; the group's spare one, where making one takes long."""
    rekey = decision.group.policy.rekey
    if rekey is not None and rekey.authentication != IMPLICIT:
        _keep_auth_key(decision, rekey, _take_key(decision, rekey.authentication))


def _take_key(decision: Decision, kind: str) -> SigningKey:
    spare, decision.group.spare_key = decision.group.spare_key, None
    return spare[1] if spare is not None and spare[0] == kind else SigningKey.generate(kind)


def _fresh_auth_key(decision: Decision) -> SigningKey | None:
    """Return the key that signs over the next Rekey SA, where the current one is too old.

    Where making one takes long, the one that was made ahead of time; if it isn't there
    yet, the old key goes on.
    """
    group, rekey = decision.group, decision.group.policy.rekey
    if rekey is None or rekey.auth_key_seconds is None or group.signer is None:
        return None
    if decision.now - decision.state.auth_key_made_at < rekey.auth_key_seconds:
        return None
    if is_slow(rekey.authentication) and group.spare_key is None:
        return None
    return _take_key(decision, rekey.authentication)


def _keep_auth_key(decision: Decision, rekey: RekeyPolicy, key: SigningKey) -> None:
    pkcs8 = key.to_pkcs8()
    decision.record(AuthKeySaved(decision.name, rekey.authentication, pkcs8, decision.wall))

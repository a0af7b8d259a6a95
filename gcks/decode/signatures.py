"""Whether a GSA_REKEY is signed by its GCKS, as far as the capture can tell (RFC 9838 2.4.1.1).

GCAUTH and AUTH_KEY come with a registration, for the Rekey SA that it tells of; a
rekey hands them on to the Rekey SA that it creates (sections 4.4.2.1.1, 4.5.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gcks.decode.model import Item
from gcks.errors import Discard
from gcks.group.key_download import find_transform
from gcks.group.rekey_message import verify_rekey
from gcks.iana import ExchangeType, GcAuth, ProtocolId, TransformType
from gcks.ike.protect import Inner
from gcks.wire.gsa import GroupSecurityAssociation, GsaPolicy
from gcks.wire.header import Header
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import Payload
from gcks.wire.transform import Transform


class _Verifier(NamedTuple):
    gcauth: Transform
    auth_key: bytes | None
    message: int
    """The number of the message that brought it."""


class Signatures:
    """Learns how Rekey SAs are authenticated, from messages that were decrypted."""

    __slots__ = ("_verifiers",)

    def __init__(self) -> None:
        self._verifiers: dict[bytes, _Verifier] = {}

    def check(self, header: Header, inner: Inner) -> Item:
        """Say whether a decrypted GSA_REKEY is authentic."""
        known = self._verifiers.get(header.spi_i + header.spi_r)
        if known is None:
            return Item("signature", "not verified: no registration with its AUTH_KEY before")
        try:
            verify_rekey(header, inner, known.gcauth, known.auth_key)
        except Discard as refused:
            return Item("signature", f"INVALID: {refused}")
        if known.gcauth.id == GcAuth.IMPLICIT:
            return Item("signature", "none: implicit authentication")
        return Item("signature", f"valid, by the AUTH_KEY of message #{known.message}")

    def learn(self, header: Header, payloads: Sequence[Payload], number: int) -> None:
        """Note what a message says of how later ones are authenticated."""
        policies = [
            policy
            for gsa in payloads
            if isinstance(gsa, GroupSecurityAssociation)
            for policy in gsa.policies
            if policy.protocol == ProtocolId.GIKE_UPDATE
        ]
        auth_key = _auth_key(payloads)
        if header.exchange == ExchangeType.GSA_REKEY:
            self._hand_on(header.spi_i + header.spi_r, policies, auth_key, number)
            return
        for policy in policies:
            gcauth = find_transform(policy.transforms, TransformType.GCAUTH)
            if gcauth is not None:
                self._verifiers[policy.spi] = _Verifier(gcauth, auth_key, number)

    def _hand_on(
        self, spi: bytes, policies: Sequence[GsaPolicy], auth_key: bytes | None, number: int
    ) -> None:
        known = self._verifiers.get(spi)
        if known is None:
            return
        if auth_key is not None:
            known = known._replace(auth_key=auth_key, message=number)
        for policy in policies:
            self._verifiers[policy.spi] = known
        if not policies:
            self._verifiers[spi] = known


def _auth_key(payloads: Sequence[Payload]) -> bytes | None:
    bags = (bag for kd in payloads if isinstance(kd, KeyDownload) for bag in kd.member_bags)
    return next((bag.auth_key for bag in bags if bag.auth_key is not None), None)

"""How GSA_REKEY messages prove their origin (RFC 9838 sections 2.4.1, 4.4.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gcks.crypto.signature import check_auth_key
from gcks.iana import GcAuth, TransformType
from gcks.member.ceiling import transform_of
from gcks.member.opening import GsaInvalid, OpenedGsa
from gcks.wire.transform import Transform


@dataclass(frozen=True, slots=True)
class Verifier:
    """The Group Controller Authentication Method of a registration, and its newest key."""

    gcauth: Transform
    auth_key: bytes | None
    """SubjectPublicKeyInfo DER; None for implicit authentication."""

    def renewed(self, auth_key: bytes | None) -> Verifier:
        """Take the AUTH_KEY of a rekey, if one came.  Raises GcksError if it is of another kind."""
        if auth_key is None:
            return self
        if self.auth_key is None:
            raise GsaInvalid("AUTH_KEY under implicit authentication")
        check_auth_key(auth_key, self.gcauth.signature_algorithm)
        return replace(self, auth_key=auth_key)


def read_verifier(opened: OpenedGsa) -> Verifier | None:
    """Return what a registration says of it; None: there is no Rekey SA.  Raises GcksError."""
    if opened.rekey is None:
        return None
    gcauth = transform_of(opened.rekey.policy.transforms, TransformType.GCAUTH)
    if gcauth is None:
        raise GsaInvalid("a Rekey SA without Group Controller Authentication Method")
    if (gcauth.id == GcAuth.IMPLICIT) != (opened.auth_key is None):
        raise GsaInvalid("AUTH_KEY contradicts the Group Controller Authentication Method")
    if opened.auth_key is not None:
        check_auth_key(opened.auth_key, gcauth.signature_algorithm)
    return Verifier(gcauth, opened.auth_key)

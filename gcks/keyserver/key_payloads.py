"""What one GM is told, wrapped under the GSK_w of its IKE SA (RFC 9838 section 4.5.4)."""

from __future__ import annotations

from gcks.group.key_download import key_download, member_key_download
from gcks.keyserver.groups.registration import Keys
from gcks.wire.payloads import Payload


def key_payloads(keys: Keys, gsk_w: bytes) -> tuple[Payload, ...]:
    """Return GSA, KD and the notifications that say how the SAs are used (section 2.3.4)."""
    if keys.path is not None:
        kd = member_key_download(keys.sa_keys, gsk_w, keys.path, keys.auth_key, keys.sender_ids)
    else:
        kd = key_download(keys.sa_keys, gsk_w, keys.auth_key, keys.sender_ids)
    return keys.gsa, kd, *keys.notifies

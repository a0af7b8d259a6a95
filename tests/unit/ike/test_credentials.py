"""Pre-shared keys by identity: exact names first, then patterns in the file's order."""

from __future__ import annotations

import fnmatch
import re

import pytest

from gcks.ike.credentials import Credentials, PreSharedKey

KEYS = Credentials(
    (
        PreSharedKey("fqdn:gm*.dev", b"pattern"),
        PreSharedKey("fqdn:gm1.dev", b"exact"),
        PreSharedKey("fqdn:*", b"later"),
        PreSharedKey("keyid:hex:00ff", b"octets"),
    )
)


def secret(identity: str) -> bytes | None:
    found = KEYS.find_psk(identity)
    return found.secret if found else None


def test_an_exact_identity_beats_patterns() -> None:
    assert secret("fqdn:gm1.dev") == b"exact"


def test_patterns_are_tried_in_order() -> None:
    assert secret("fqdn:gm2.dev") == b"pattern"
    assert secret("fqdn:other.dev") == b"later"


def test_case_and_type_matter() -> None:
    assert secret("rfc822:gm1.dev") is None
    assert secret("FQDN:gm1.dev") is None
    assert secret("fqdn:GM2.dev") == b"later"


def test_octets_that_no_text_shows_have_their_key() -> None:
    assert secret("keyid:hex:00ff") == b"octets"
    assert secret("keyid:hex:00fe") is None


def test_an_identity_made_of_wildcards_is_only_a_name() -> None:
    """What a peer sends is matched, never used as a pattern."""
    assert Credentials((PreSharedKey("fqdn:gm1.dev", b"x"),)).find_psk("fqdn:*") is None


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(PreSharedKey("fqdn:a", b"hush"))


def test_patterns_are_compiled_before_a_stranger_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them would take a tenth of a second of its first message."""
    keys = Credentials(tuple(PreSharedKey(f"fqdn:b{at}-*.dev", b"x") for at in range(1_000)))
    monkeypatch.setattr(re, "compile", lambda *_: pytest.fail("compiled late"))
    monkeypatch.setattr(fnmatch, "translate", lambda _: pytest.fail("translated late"))
    assert keys.find_psk("fqdn:stranger.dev") is None
    assert keys.find_psk("fqdn:b999-1.dev") is not None


def test_a_pattern_fits_a_whole_identity() -> None:
    keys = Credentials((PreSharedKey("fqdn:gm[1-3]?.dev", b"x"),))
    assert keys.find_psk("fqdn:gm12.dev") is not None
    for other in ("fqdn:gm12.dev\n", "fqdn:gm12.dev.x", "xfqdn:gm12.dev", "fqdn:gm42.dev"):
        assert keys.find_psk(other) is None

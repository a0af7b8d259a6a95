"""Stateless cookies (RFC 7296 section 2.6)."""

from __future__ import annotations

import os

import pytest

from gcks.datagrams import Endpoint
from gcks.ike.cookie import SECRET_SECONDS, CookieJar

NONCE, PEER, SPI = bytes(32), Endpoint("192.0.2.7", 500), b"initiate"


@pytest.fixture
def jar() -> CookieJar:
    return CookieJar(os.urandom, 1000.0)


def test_a_cookie_is_accepted_from_where_it_was_sent(jar: CookieJar) -> None:
    cookie = jar.make(NONCE, PEER, SPI, 1000.0)
    assert 1 <= len(cookie) <= 64
    assert jar.accepts(cookie, NONCE, PEER, SPI, 1001.0)


@pytest.mark.parametrize(
    ("nonce", "peer", "spi"),
    [
        (b"\1" + bytes(31), PEER, SPI),
        (NONCE, Endpoint("192.0.2.8", 500), SPI),
        (NONCE, Endpoint("192.0.2.7", 4500), SPI),
        (NONCE, PEER, b"another!"),
    ],
)
def test_a_cookie_is_bound_to_nonce_address_and_spi(
    jar: CookieJar, nonce: bytes, peer: Endpoint, spi: bytes
) -> None:
    cookie = jar.make(NONCE, PEER, SPI, 1000.0)
    assert not jar.accepts(cookie, nonce, peer, spi, 1000.0)


def test_every_bent_octet_is_noticed(jar: CookieJar) -> None:
    cookie = jar.make(NONCE, PEER, SPI, 1000.0)
    for at in range(len(cookie)):
        bent = cookie[:at] + bytes((cookie[at] ^ 1,)) + cookie[at + 1 :]
        assert not jar.accepts(bent, NONCE, PEER, SPI, 1000.0)
    for short in (b"", cookie[:1], cookie[:-1], cookie + b"\0"):
        assert not jar.accepts(short, NONCE, PEER, SPI, 1000.0)


def test_the_previous_secret_is_still_good_and_the_one_before_is_not(jar: CookieJar) -> None:
    """RFC 7296 section 2.6: the responder accepts the previous secret for a while."""
    cookie = jar.make(NONCE, PEER, SPI, 1000.0)
    jar.make(NONCE, PEER, SPI, 1000.0 + SECRET_SECONDS)
    assert jar.accepts(cookie, NONCE, PEER, SPI, 1000.0 + 1.9 * SECRET_SECONDS)
    assert not jar.accepts(cookie, NONCE, PEER, SPI, 1000.0 + 2 * SECRET_SECONDS)


def test_after_a_long_silence_no_old_cookie_is_good(jar: CookieJar) -> None:
    cookie = jar.make(NONCE, PEER, SPI, 1000.0)
    assert not jar.accepts(cookie, NONCE, PEER, SPI, 1000.0 + 50 * SECRET_SECONDS)


def test_secrets_are_numbered_round_and_round(jar: CookieJar) -> None:
    now = 1000.0
    for _ in range(300):
        now += SECRET_SECONDS
        cookie = jar.make(NONCE, PEER, SPI, now)
        assert jar.accepts(cookie, NONCE, PEER, SPI, now)


def test_two_servers_make_different_cookies() -> None:
    first, second = CookieJar(os.urandom, 0.0), CookieJar(os.urandom, 0.0)
    assert not second.accepts(first.make(NONCE, PEER, SPI, 0.0), NONCE, PEER, SPI, 0.0)

"""Message IDs with a window of 1 (RFC 7296 sections 2.1 to 2.3)."""

from __future__ import annotations

import pytest

from gcks.ike.window import RequestWindow, WindowVerdict


def test_only_the_expected_request_is_new() -> None:
    window = RequestWindow(expected=1)
    assert window.judge(1) is WindowVerdict.NEW
    for message_id in (0, 2, 3, 0xFFFFFFFF):
        assert window.judge(message_id) is WindowVerdict.OUTSIDE


def test_the_last_request_is_answered_again_from_the_cache() -> None:
    """RFC 7296 section 2.1: the response is bit-identical."""
    window = RequestWindow(expected=1)
    window.answered(b"response")
    assert window.judge(1) is WindowVerdict.REPEATED
    assert window.response == b"response"
    assert window.judge(2) is WindowVerdict.NEW


@pytest.mark.parametrize("message_id", [0, 1])
def test_older_requests_are_outside(message_id: int) -> None:
    window = RequestWindow(expected=1)
    window.answered(b"first")
    window.answered(b"second")
    assert window.judge(message_id) is WindowVerdict.OUTSIDE
    assert window.response == b"second"


def test_a_fresh_window_repeats_nothing() -> None:
    assert RequestWindow(expected=1).judge(0) is WindowVerdict.OUTSIDE

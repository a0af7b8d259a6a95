"""Message IDs of one IKE SA, window size 1 (RFC 7296 sections 2.1 to 2.3)."""

from __future__ import annotations

from enum import Enum

MESSAGE_ID_BITS = 32
MAX_MESSAGE_ID = (1 << MESSAGE_ID_BITS) - 1


class WindowVerdict(Enum):
    """What to do with a request."""

    NEW = "new"
    REPEATED = "repeated"
    """A retransmission: send the cached response again, bit-identical."""
    IN_HAND = "in hand"
    """A retransmission of the request that is yet to be answered: absorbed."""
    OUTSIDE = "outside"
    """Out of the window: dropped."""


class RequestWindow:
    """The peer's requests, and our last response for retransmissions of its request."""

    __slots__ = ("expected", "in_hand", "response")

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
        self.in_hand = False
        """Whether the expected request came, and its answer waits for something."""
        self.response: tuple[bytes, ...] | None = None
        """The datagrams of our last response."""

    def judge(self, message_id: int) -> WindowVerdict:
        """Tell what to do with a request (RFC 7296 sections 2.2 and 2.3)."""
        if message_id == self.expected:
            return WindowVerdict.IN_HAND if self.in_hand else WindowVerdict.NEW
        if message_id == self.expected - 1 and self.response is not None:
            return WindowVerdict.REPEATED
        return WindowVerdict.OUTSIDE

    def answered(self, response: tuple[bytes, ...]) -> None:
        """Remember the response to the expected request and expect the next one."""
        self.response = response
        self.in_hand = False
        self.expected += 1

"""Text of peers and files for a terminal or a log: nothing in it moves a cursor or ends a line."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with every character that isn't printed as its escape, such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )

"""What a terminal has been shown, picture by picture."""

from __future__ import annotations

import re

_HOME = "\x1b[H"
_SEQUENCE = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")
_COLOUR = re.compile(r"(?:^|;)(?:[34][0-8]|9[0-7]|10[0-7])(?:;|m|$)")
_SIDES = ("╭╮", "││", "╰╯")


def plain(drawn: str) -> str:
    """Return what was drawn without escape sequences."""
    return _SEQUENCE.sub("", drawn)


def frames(drawn: str) -> list[list[str]]:
    """Return the lines of each complete picture."""
    pictures = [plain(part).split("╯")[0] + "╯" for part in drawn.split(_HOME)[1:] if "╯" in part]
    return [picture.replace("\r", "").split("\n") for picture in pictures]


def has_colour(drawn: str) -> bool:
    """Tell whether anything was drawn in colour."""
    styles = re.findall("\x1b\\[([0-9;]*)m", drawn)
    return any(map(_COLOUR.search, styles))


def check(pictures: list[list[str]], columns: int, rows: int) -> None:
    """Every picture is whole: as wide as the screen, not higher, and nothing in it is cut off."""
    assert pictures
    for picture in pictures:
        assert len(picture) <= rows, picture
        first, *inner, last = picture
        for line, sides in zip(
            picture, (_SIDES[0], *[_SIDES[1]] * len(inner), _SIDES[2]), strict=True
        ):
            assert len(line) == columns and line[0] + line[-1] == sides, picture
        assert "Ctrl-C ends" in last and "gcks" in first
        assert "…" not in "".join(picture)


def words(picture: list[str]) -> str:
    """Return what stands inside the frame, whatever line it is on."""
    return " ".join(" ".join(line[1:-1] for line in picture).split())

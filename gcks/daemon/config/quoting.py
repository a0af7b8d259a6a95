"""What messages may repeat of a configuration: never a secret that stands in the wrong place."""

from __future__ import annotations

import re
from typing import Final

SECRET_KINDS: Final = ("hex:", "-----BEGIN")
"""What secrets begin with, and names of files don't."""
_LEAST: Final = 32
_HEXADECIMAL: Final = re.compile(f"[0-9A-Fa-f]{{{_LEAST},}}")
_BASE64: Final = re.compile(f"[0-9A-Za-z+/=]{{{_LEAST},}}")
_ALL_OF: Final = ("[0-9]", "[A-Z]", "[a-z]")
NOT_REPEATED: Final = "what stands here (not repeated: it looks like a secret)"


def looks_secret(text: str) -> bool:
    """Tell whether a text may be a secret itself: a kind of its own, or 128 bits and more of one.

    Who is wrong about a long name only has to look at the line that the message names.
    """
    if text.strip().startswith(SECRET_KINDS) or _HEXADECIMAL.search(text):
        return True
    runs = _BASE64.findall(text)
    return any(all(re.search(kind, run) for kind in _ALL_OF) for run in runs)

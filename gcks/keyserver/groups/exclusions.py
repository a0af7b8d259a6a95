"""Whom the operator has shut out of a group, whatever its policy says.

By identity (a glob on its text form) or by certificate; an exclusion lasts until it
is lifted, over restarts and changes of the policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from typing import Final

from gcks.crypto.certificate_reading import REFERENCE_OCTETS
from gcks.errors import LocalError
from gcks.journal import ExclusionLifted, ExclusionSaved
from gcks.keyserver.groups.globs import is_glob

IDENTITY: Final = "identity"
CERTIFICATE: Final = "certificate"
MAX_EXCLUSIONS: Final = 100_000
MAX_GLOBS: Final = 1_024
"""Patterns among them: every registration is compared with all."""
MAX_GLOBS_AT_ONCE: Final = 64
"""In one order: all members are compared with each, while everything else waits."""


class Exclusions:
    """The exclusions of one group; journal entries alone change them."""

    __slots__ = ("_by_name", "_certificates", "_globs", "_group")

    def __init__(self, group: str) -> None:
        self._group = group
        self._by_name: dict[tuple[str, str], ExclusionSaved] = {}
        self._globs: dict[str, re.Pattern[str]] = {}
        self._certificates: set[bytes] = set()

    def __iter__(self) -> Iterator[ExclusionSaved]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def clear(self) -> None:
        """Forget all of them."""
        self._by_name.clear()
        self._globs.clear()
        self._certificates.clear()

    def put(self, saved: ExclusionSaved) -> None:
        """Shut out whom an entry names."""
        self._by_name[saved.kind, saved.name] = saved
        if saved.kind == CERTIFICATE:
            self._certificates.add(bytes.fromhex(saved.name))
        elif is_glob(saved.name):
            self._globs[saved.name] = re.compile(translate(saved.name))

    def remove(self, lifted: ExclusionLifted) -> None:
        """Let in again whom an entry names."""
        self._by_name.pop((lifted.kind, lifted.name), None)
        self._globs.pop(lifted.name, None)
        if lifted.kind == CERTIFICATE:
            self._certificates.discard(bytes.fromhex(lifted.name))

    def new(
        self, kind: str, names: Iterable[str], at: float, by: str, about: str = ""
    ) -> list[ExclusionSaved]:
        """Return the entries that shut out from POSIX time `at` on; who is shut out has his.

        Raises `LocalError` where there are too many.
        """
        names = tuple(names)
        new = [
            ExclusionSaved(self._group, kind, name, at, by, about)
            for name in dict.fromkeys(names)
            if (kind, name) not in self._by_name
        ]
        if len(self) + len(new) > MAX_EXCLUSIONS:
            raise LocalError(
                f"{self._group}: more than {MAX_EXCLUSIONS} exclusions; lift some, use a pattern, "
                "or take the members out of the rules"
            )
        self._check_globs(kind, names)
        return new

    def lifted(self, kind: str, names: Iterable[str]) -> list[ExclusionLifted]:
        """Return the entries that lift exclusions.  Raises `LocalError` for what isn't excluded."""
        wanted = list(dict.fromkeys(names))
        unknown = [name for name in wanted if (kind, name) not in self._by_name]
        if unknown:
            raise LocalError(
                f"{self._group}: {', '.join(unknown)} is not excluded; "
                "`gcks show exclusions` has the exact names"
            )
        return [ExclusionLifted(self._group, kind, name) for name in wanted]

    def names(self, identity: str, certificates: bytes = b"") -> bool:
        """Tell whether a GM is shut out; `certificates` are references, one after the other."""
        if not self._by_name:
            return False
        if (IDENTITY, identity) in self._by_name or any(
            glob.match(identity) for glob in self._globs.values()
        ):
            return True
        return not self._certificates.isdisjoint(
            certificates[at : at + REFERENCE_OCTETS]
            for at in range(0, len(certificates), REFERENCE_OCTETS)
        )

    def _check_globs(self, kind: str, names: Iterable[str]) -> None:
        if kind != IDENTITY:
            return
        globs = {name for name in names if is_glob(name)}
        if len(globs) > MAX_GLOBS_AT_ONCE:
            raise LocalError(
                f"{self._group}: {len(globs)} patterns, and {MAX_GLOBS_AT_ONCE} are the most at "
                "one time; exclude in several steps"
            )
        if len(globs | self._globs.keys()) > MAX_GLOBS:
            raise LocalError(
                f"{self._group}: more than {MAX_GLOBS} excluded patterns; lift some, or take the "
                "members out of the rules"
            )

"""What errors, logs and debuggers show of a record says nothing of its keys."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import get_type_hints

import gcks

SECRET = re.compile(r"sk_\w+|gsk_\w+|key_[eaw]|kwk|key|keymat|secret|private_key|pkcs8")
ROLES = ("group", "ike", "keyserver", "member", "crypto", "wire")


def records() -> Iterator[type]:
    """Yield all dataclasses and named tuples of both roles, and the journal's."""
    for module in pkgutil.walk_packages(gcks.__path__, "gcks."):
        package = module.name.split(".")[1]
        if package not in (*ROLES, "journal", "change"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            own = inspect.isclass(kind) and kind.__module__ == module.name
            if own and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
                yield kind


def shown(kind: type) -> list[str]:
    """Return the secret fields that the record's text would show."""
    if dataclasses.is_dataclass(kind):
        names = [f.name for f in dataclasses.fields(kind) if f.repr and f.type == "bytes"]
    elif "__repr__" in vars(kind) and "def __repr__" in inspect.getsource(kind):
        names = []
    else:
        types = get_type_hints(kind)
        names = [name for name, type_ in types.items() if type_ is bytes]
    return [name for name in names if SECRET.fullmatch(name)]


def test_no_record_shows_a_key() -> None:
    kinds = list(records())
    assert len(kinds) > 100
    assert not {kind.__qualname__: shown(kind) for kind in kinds if shown(kind)}

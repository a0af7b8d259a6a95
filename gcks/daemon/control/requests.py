"""What can be asked over the control socket: one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from gcks.daemon.config.values import IdentityPattern, LogLevel
from gcks.daemon.control.event_lines import EVENT_NAMES, Wanted
from gcks.daemon.logs import LEVEL_NAMES
from gcks.errors import LocalError

T = TypeVar("T")

PROTOCOL: Final = 1
"""The version of requests and answers; what is added doesn't change it."""
MAX_NAMES: Final = 10_000
"""In one order; more go in several."""
MAX_PAGE: Final = 1_000
MAX_EVENT_NAMES: Final = 64

MAX_TEXT_CHARACTERS: Final = 1_024

Name = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


class BaseRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    id: int | str | None = None
    """Comes back in the answer."""


class ShowRequest(BaseRequest):
    """Read the state; long lists come page by page: `next` of an answer is the next `start`."""

    do: Literal["show"]
    what: Literal[
        "server",
        "groups",
        "members",
        "sas",
        "rekeys",
        "senders",
        "exclusions",
        "census",
        "features",
    ]
    group: Name | None = None
    match: Name | None = None
    """With members, senders, exclusions: a pattern for identities."""
    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE


class PlanRequest(BaseRequest):
    """Say what a reload would do: with the server's own file as it is now, or with another."""

    do: Literal["plan"]
    config: Name | None = None


class ReloadRequest(BaseRequest):
    """Take over the server's configuration file as a whole, or not at all."""

    do: Literal["reload"]


class RekeyGroupRequest(BaseRequest):
    """Renew all keys of a group now."""

    do: Literal["rekey"]
    group: Name


class _Names(BaseRequest):
    group: Name
    kind: Literal["identity", "certificate"] = "identity"
    names: Annotated[list[Name], Field(min_length=1, max_length=MAX_NAMES)]
    """Identities or patterns, or references of certificates in hexadecimal."""


class ExcludeRequest(_Names):
    """Shut out of a group, until it is lifted."""

    do: Literal["exclude"]
    about: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] = ""
    """For people: whose certificate it is."""
    immediate: bool = False
    dry_run: bool = False


class ReadmitRequest(_Names):
    """Lift exclusions."""

    do: Literal["readmit"]


class EventsRequest(BaseRequest):
    """Say what happened, and follow what happens: one line per event after the answer."""

    do: Literal["events"]
    last: Annotated[int, Field(ge=0, le=MAX_PAGE)] = 0
    """How many of the past."""
    follow: bool = True
    level: LogLevel = "debug"
    """The least."""
    group: Name | None = None
    """Only events of this group."""
    names: Annotated[list[Name], Field(max_length=MAX_EVENT_NAMES)] = []
    """Only these events; none named: all."""

    @field_validator("names")
    @classmethod
    def _are_events(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in EVENT_NAMES:
                raise ValueError(f"no event is called {name}; docs/events.md has the names")
        return names

    @property
    def wanted(self) -> Wanted:
        return Wanted(LEVEL_NAMES[self.level], self.group, frozenset(self.names))


Request = (
    ShowRequest
    | PlanRequest
    | ReloadRequest
    | RekeyGroupRequest
    | ExcludeRequest
    | ReadmitRequest
    | EventsRequest
)


def only_reads(request: Request) -> bool:
    """Tell whether readers may ask this.

    A file that the asker names is read with the server's rights and environment, and
    errors tell of what is in it: that is for operators.
    """
    if isinstance(request, PlanRequest):
        return request.config is None
    return isinstance(request, ShowRequest | EventsRequest)


REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="do")])
_PATTERN: Final[TypeAdapter[str]] = TypeAdapter(IdentityPattern)
_REFERENCE_DIGITS: Final = 32


def read_request(line: bytes) -> Request:
    """Read one line.  Raises `LocalError` that says what is wrong with it."""
    request = parse(REQUESTS, line)
    if isinstance(request, _Names):
        with _said_clearly():
            names = [*map(_name_of(request), request.names)]
        return request.model_copy(update={"names": names})
    return request


def parse(adapter: TypeAdapter[T], line: bytes) -> T:
    """Read one line as what the adapter wants.  Raises `LocalError`."""
    with _said_clearly():
        return adapter.validate_json(line)


@contextmanager
def _said_clearly() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise LocalError(f"request: {place}: {first['msg']}" if place else first["msg"]) from None


def _name_of(request: _Names) -> Any:
    return _PATTERN.validate_python if request.kind == "identity" else _reference


def _reference(name: str) -> str:
    if len(name) != _REFERENCE_DIGITS or not set(name) <= set("0123456789abcdef"):
        raise LocalError(f"{name!r} is no certificate reference; give the certificate's file")
    return name

"""What operators did at a key server."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.events.base import Level, Limit, ServerEvent


@dataclass(frozen=True, slots=True)
class OperatorExcluded(ServerEvent):
    """An operator has shut somebody out."""

    name = "operator_excluded"
    usual_level = Level.INFO
    audited = True
    counted = False
    group: str
    kind: str
    """`identity` or `certificate`."""
    names: tuple[str, ...]
    """As they were ordered: identities, patterns, references of certificates."""
    by: str
    about: str = ""
    """Whose certificate it is, in the words of the order."""


@dataclass(frozen=True, slots=True)
class OperatorReadmitted(ServerEvent):
    """An operator has lifted exclusions."""

    name = "operator_readmitted"
    usual_level = Level.INFO
    audited = True
    counted = False
    group: str
    kind: str
    """`identity` or `certificate`."""
    names: tuple[str, ...]
    """As they were excluded."""
    by: str


@dataclass(frozen=True, slots=True)
class OperatorOrdered(ServerEvent):
    """An operator has ordered something over the control socket."""

    name = "operator_ordered"
    usual_level = Level.INFO
    audited = True
    counted = False
    order: str
    """`rekey` or `reload`."""
    group: str
    by: str


@dataclass(frozen=True, slots=True)
class OrderRefused(ServerEvent):
    """A user who may not give orders has given one over the control socket."""

    name = "order_refused"
    usual_level = Level.WARNING
    audited = True
    limit = Limit("order")
    counted = False
    order: str
    """`reload`, `rekey`, `exclude` ..."""
    by: str


@dataclass(frozen=True, slots=True)
class Reloaded(ServerEvent):
    """The configuration file was taken over."""

    name = "reloaded"
    usual_level = Level.INFO
    audited = True
    counted = False
    groups: int
    """How many there are."""
    waiting: tuple[str, ...] = ()
    """Groups that follow within seconds: a key that takes long to make is made first."""


@dataclass(frozen=True, slots=True)
class ReloadRefused(ServerEvent):
    """The configuration file was not taken over, and nothing has changed."""

    name = "reload_refused"
    usual_level = Level.ERROR
    audited = True
    counted = False
    cause: str
    """All problems of the file, one a line."""

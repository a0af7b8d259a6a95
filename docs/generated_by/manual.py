"""Manual pages (man(7)), made of the commands' own signatures and help texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from textwrap import wrap
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from gcks import __version__
from gcks.cli.exits import NO_DAEMON, sentence
from generated_by.exit_codes import GENERAL

_VALUES: Final[dict[Any, str]] = {Path: "FILE", str: "TEXT", int: "NUMBER", float: "NUMBER"}
_COLUMNS: Final = 72
_HOMEPAGE: Final = "https://www.rfc-editor.org/rfc/rfc9838"


@dataclass(frozen=True, slots=True)
class Program:
    """What a page is about besides its commands."""

    name: str
    summary: str
    description: tuple[str, ...]
    exit_codes: Mapping[int, str]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    see_also: str


def page(program: Program, commands: Mapping[str, str]) -> str:
    """Return a page; `commands` is command -> module:function."""
    functions = {name: function_of(place) for name, place in commands.items()}
    lines = [
        f'.TH "{program.name.upper()}" "1" "" "gcks {__version__}" "gcks"',
        *_section("NAME", _text(f"{program.name} - {program.summary}")),
        *_section("SYNOPSIS", _synopses(program.name, functions)),
        *_section("DESCRIPTION", *_paragraphs(program.description)),
        *_section("COMMANDS", *_commands(program.name, functions)),
        *_section("EXIT STATUS", *_items((str(c), t) for c, t in program.exit_codes.items())),
        *_section("ENVIRONMENT", *_items(program.environment.items())),
        *_section("FILES", *_items(program.files.items())),
        *_section("SEE ALSO", _text(f"{program.see_also}, {_HOMEPAGE}")),
    ]
    return "\n".join(lines) + "\n"


def function_of(place: str) -> Callable[..., Any]:
    """Return the function that `module:function` names."""
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


# --- one command ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument, as its function declares it."""

    names: tuple[str, ...]
    """As they are written: --json, -f; GROUP."""
    value: str
    """What follows the option; "": nothing."""
    help: str
    default: str
    required: bool
    repeats: bool

    @property
    def usage(self) -> str:
        """As it stands in a synopsis."""
        written = f"{self.names[0]} {self.value}".strip()
        dots = " ..." if self.repeats else ""
        return f"{written}{dots}" if self.required else f"[{written}]{dots}"


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return what a command takes and may be told about, in its order."""
    declared = inspect.signature(function, eval_str=True).parameters.values()
    return [made for parameter in declared if (made := _parameter(parameter)) is not None]


def _parameter(parameter: inspect.Parameter) -> Parameter | None:
    kind, *notes = get_args(parameter.annotation)
    (info,) = [note for note in notes if isinstance(note, OptionInfo | ArgumentInfo)]
    if info.hidden:
        return None
    kind, repeats = _plain_type(kind)
    return Parameter(
        names=_names(parameter.name, info),
        value=_value(kind, info) if isinstance(info, OptionInfo) else "",
        help=info.help or "",
        default=_default(parameter.default),
        required=parameter.default is inspect.Parameter.empty,
        repeats=repeats,
    )


def _names(name: str, info: OptionInfo | ArgumentInfo) -> tuple[str, ...]:
    if isinstance(info, ArgumentInfo):
        return (info.metavar or name.upper(),)
    first = (info.default,) if isinstance(info.default, str) else ()  # so typer keeps it
    return (*first, *(info.param_decls or ())) or (f"--{name.replace('_', '-')}",)


def _plain_type(kind: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether there may be several."""
    if get_origin(kind) in (UnionType, Union):
        (kind,) = [alternative for alternative in get_args(kind) if alternative is not type(None)]
    if get_origin(kind) is list:
        return get_args(kind)[0], True
    return kind, False


def _value(kind: Any, info: OptionInfo) -> str:
    if kind is bool:
        return ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(member.value for member in kind)
    return info.metavar or _VALUES[kind]


def _default(value: Any) -> str:
    if value in (None, False, inspect.Parameter.empty):
        return ""
    return str(value.value if isinstance(value, Enum) else value)


# --- roff -----------------------------------------------------------------------------------------


def _synopses(program: str, functions: Mapping[str, Callable[..., Any]]) -> str:
    return "\n.br\n".join(_synopsis(program, *named) for named in functions.items())


def _synopsis(program: str, name: str, function: Callable[..., Any]) -> str:
    usage = " ".join(parameter.usage for parameter in parameters(function))
    return f".B {_escaped(f'{program} {name}')}" + (f"\n{_text(usage)}" if usage else "")


def _commands(program: str, functions: Mapping[str, Callable[..., Any]]) -> Iterator[str]:
    for name, function in functions.items():
        yield f'.SS "{_escaped(f"{program} {name}")}"'
        yield from _paragraphs((inspect.getdoc(function) or "").split("\n\n"))
        yield from _items(
            (_heading(parameter), _explained(parameter)) for parameter in parameters(function)
        )
        yield from (".PP", _text(f"Exit status: {sentence(program, name)}."))


def _heading(parameter: Parameter) -> str:
    return f"{', '.join(parameter.names)} {parameter.value}".strip()


def _explained(parameter: Parameter) -> str:
    return (
        f"{parameter.help} Default: {parameter.default}." if parameter.default else parameter.help
    )


def _section(title: str, *content: str) -> list[str]:
    return [f'.SH "{title}"', *content]


def _paragraphs(texts: Any) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield _text(text)


def _items(items: Any) -> Iterator[str]:
    for name, text in items:
        yield ".TP"
        yield f".B {_escaped(name)}"
        yield _text(text)


def _text(text: str) -> str:
    """Return a text in lines of which none is a request of roff."""
    lines = wrap(text.replace("`", ""), _COLUMNS, break_on_hyphens=False, break_long_words=False)
    return "\n".join(map(_escaped, lines))


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


# --- the two pages --------------------------------------------------------------------------------

SERVER: Final = Program(
    name="gcks",
    summary="key server for encrypted multicast: G-IKEv2 (RFC 9838)",
    description=(
        "A Group Controller/Key Server (GCKS). Group members register over IKEv2; the server "
        "authenticates and authorizes them, hands out the group's IPsec policy and keys, and "
        "renews the keys for all of them at once with one signed multicast message.",
        "serve is the server itself. check, decode, demo and audit work without one; the other "
        "commands ask the running server over its control socket.",
    ),
    exit_codes={**GENERAL, NO_DAEMON: "no server answers at the control socket"},
    environment={"GCKS_CONTROL": "the control socket, where --socket doesn't name it"},
    files={
        "/etc/gcks/gcks.yaml": "the configuration of the systemd service",
        "/run/gcks/control.sock": "the control socket",
        "/var/lib/gcks/gcks.sqlite": "the store, sealed with the master key",
    },
    see_also="gcks-member(1), systemd.service(5), ip-xfrm(8)",
)  # fmt: skip
MEMBER: Final = Program(
    name="gcks-member",
    summary="group member for encrypted multicast: G-IKEv2 (RFC 9838)",
    description=(
        "A Group Member (GM). It registers to a key server, installs the group's SAs in the "
        "kernel (XFRM) and follows every rekey. What it accepts from the server is bounded by the "
        "ceiling in its configuration.",
        "run is the member itself; status and leave ask the running one over its control socket.",
    ),
    exit_codes={**GENERAL, NO_DAEMON: "no member answers at the control socket"},
    environment={"GCKS_CONTROL": "the control socket, where --socket doesn't name it"},
    files={
        "/etc/gcks/member.yaml": "the configuration of the systemd service",
        "/run/gcks-member/control.sock": "the control socket",
    },
    see_also="gcks(1), systemd.service(5), ip-xfrm(8)",
)  # fmt: skip

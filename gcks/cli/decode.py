"""`gcks decode`: explain a capture, or messages in hexadecimal, payload by payload."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Final

import typer

from gcks.daemon.config.problems import unreadable
from gcks.decode.capture import CaptureError, is_capture
from gcks.decode.carriers import MAX_HEXADECIMAL_OCTETS, Carried, Sniffer, read_hexadecimal
from gcks.decode.key_log_format import KeyLogContent, decode_key_log
from gcks.decode.keyring import KeyRing
from gcks.decode.messages import Explainer
from gcks.decode.report import message_json, report
from gcks.decode.text import render, render_summary
from gcks.decode.wireshark import tables
from gcks.errors import LocalError
from gcks.wire.printable import printable

MAX_CAPTURE_OCTETS: Final = 256 << 20
MAX_KEY_LOG_OCTETS: Final = 64 << 20
_PRIVATE: Final = 0o600
_SHOWN_CHARACTERS: Final = 60
_STDIN: Final = "-"

WHAT = typer.Argument(
    metavar="CAPTURE_OR_HEX",
    help="A pcap or pcapng file, a file with hexadecimal, hexadecimal itself, or - for stdin.",
)
KEYS = typer.Option(
    "--keys", help="A key log of `gcks serve` or `gcks-member run`.", readable=False
)
PORT = typer.Option("--port", min=1, max=65535, help="One more port of IKE; may be repeated.")
WIRESHARK = typer.Option(
    "--wireshark", help="Write Wireshark's key tables to this directory.", readable=False
)
SECRETS = typer.Option("--show-secrets", help="Print keys, too.")
JSON = typer.Option("--json", help="Print JSON.")


def decode(
    what: Annotated[str, WHAT],
    keys: Annotated[Path | None, KEYS] = None,
    ports: Annotated[list[int] | None, PORT] = None,
    wireshark: Annotated[Path | None, WIRESHARK] = None,
    show_secrets: Annotated[bool, SECRETS] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Explain IKE messages payload by payload, in the terms of RFC 7296 and RFC 9838."""
    if wireshark is not None and keys is None:
        raise typer.BadParameter("--wireshark goes with --keys")
    try:
        known = _key_log(keys)
        if wireshark is not None:
            _write_tables(wireshark, tables(known.entries))
        keyring = KeyRing(known.entries)
        explainer = Explainer(keyring, show_secrets=show_secrets)
        sniffer = Sniffer(frozenset(ports or ()))
        messages = _messages(_input(what), sniffer)
        printer = _print_json if as_json else _print_text
        printer(messages, explainer, sniffer, keyring)
    except (LocalError, CaptureError) as error:
        told = error if isinstance(error, LocalError) else _unfit(what, error)
        typer.echo(f"gcks: {told}", err=True)
        raise typer.Exit(1) from None
    except BrokenPipeError:
        # Whoever reads has seen enough; the interpreter must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    if sniffer.census.problem:
        raise typer.Exit(1)


# --- in -------------------------------------------------------------------------------


def _key_log(path: Path | None) -> KeyLogContent:
    if path is None:
        return KeyLogContent()
    text = _limited(path, MAX_KEY_LOG_OCTETS).decode("utf-8", "replace")
    known = decode_key_log(text)
    for problem in known.problems:
        typer.echo(printable(f"gcks: {problem}"), err=True)
    return known


def _input(what: str) -> bytes:
    """Return a file, what comes in, or the argument itself."""
    if what == _STDIN:
        octets = sys.stdin.buffer.read(MAX_CAPTURE_OCTETS + 1)
        return _checked(octets, "standard input", MAX_CAPTURE_OCTETS)
    if _exists(what):
        return _limited(Path(what), MAX_CAPTURE_OCTETS)
    return what.encode("utf-8", "replace")


def _exists(what: str) -> bool:
    try:
        return Path(what).exists()
    except (OSError, ValueError):
        return False  # hexadecimal that is too long for a name


def _limited(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return _checked(file.read(most + 1), str(path), most)
    except OSError as error:
        raise unreadable(path, error) from None


def _checked(octets: bytes, name: str, most: int) -> bytes:
    if len(octets) > most:
        raise LocalError(
            f"{name} has more than {most >> 20} MiB; cut out what matters, such as by"
            " `tshark -r FILE -Y isakmp -w SMALLER`"
        )
    return octets


def _messages(octets: bytes, sniffer: Sniffer) -> Iterator[Carried]:
    if is_capture(octets):
        return sniffer.messages(octets)
    if len(octets) > MAX_HEXADECIMAL_OCTETS:
        raise CaptureError("neither a capture (pcap, pcapng) nor a message in hexadecimal")
    return read_hexadecimal(octets)


def _unfit(what: str, error: CaptureError) -> str:
    """Say what is wrong with what was given, and what to give."""
    if what == _STDIN or _exists(what):
        return f"{what}: {error}; give what `tcpdump -w` writes, or a message's hexadecimal digits"
    return f"{shorten(what, _SHOWN_CHARACTERS)}: {error}, and there is no such file; check the path"


# --- out ------------------------------------------------------------------------------


def _print_text(
    messages: Iterable[Carried], explainer: Explainer, sniffer: Sniffer, keys: KeyRing
) -> None:
    count = 0
    for carried in messages:
        count += 1
        for line in render(explainer.explain(carried)):
            print(printable(line))
    for line in render_summary(count, sniffer.census, keys.group_sas):
        print(printable(line))


def _print_json(
    messages: Iterable[Carried], explainer: Explainer, sniffer: Sniffer, keys: KeyRing
) -> None:
    explained = [message_json(explainer.explain(carried)) for carried in messages]
    print(json.dumps(report(explained, sniffer.census, keys.group_sas)))


def _write_tables(directory: Path, contents: Mapping[str, str]) -> None:
    """Write files that only their owner reads; old ones are replaced."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in contents.items():
            path = directory / name
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
    except OSError as error:
        reason = f"can't write to {directory}: {error.strerror}"
        raise LocalError(f"{reason}; give --wireshark a directory of yours") from None

"""`gcks show, plan, reload, rekey, exclude, readmit, events`: asked of the running server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gcks.cli import exits
from gcks.cli import names as names_of
from gcks.cli.client import Client, NoServer, socket_path
from gcks.errors import LocalError


class Subject(StrEnum):
    server = "server"
    groups = "groups"
    members = "members"
    sas = "sas"
    rekeys = "rekeys"
    senders = "senders"
    exclusions = "exclusions"
    census = "census"
    features = "features"


class Level(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


SOCKET = typer.Option("--socket", help="The server's control socket.", readable=False)
JSON = typer.Option("--json", help="Print JSON.")
GROUP = typer.Argument(help="The group, such as keyid:demo.", autocompletion=names_of.groups)
ONE_GROUP = typer.Option("--group", help="Only this group.", autocompletion=names_of.groups)
CONFIG = typer.Argument(help="A configuration; default: the server's own file.", readable=False)
NAMES = typer.Argument(
    help="Identities, or patterns such as 'fqdn:gm1*.example'.", autocompletion=names_of.members
)
EXCLUDED = typer.Argument(
    help="Identities or patterns, as they were excluded.", autocompletion=names_of.exclusions
)
MATCH = typer.Option(
    help="With members, senders, exclusions: a pattern.", autocompletion=names_of.matching
)
CERTIFICATE = typer.Option(
    "--certificate",
    help="Certificate of the member, or of an intermediate CA (PEM).",
    readable=False,
)

EVENT = typer.Option(
    "--event",
    help="Only this one, such as registration_refused; again for more.",
    autocompletion=names_of.events,
)
YES: Final = "Don't ask, even if all members have to register again."

Socket = Annotated[Path | None, SOCKET]
Json = Annotated[bool, JSON]


def _asked(path: Path | None, work: Callable[[Client], Any]) -> Any:
    """Do something with the server; say in one line why it can't be done."""
    try:
        with Client(socket_path(path)) as client:
            return work(client)
    except NoServer as error:
        typer.echo(f"gcks: {error}", err=True)
        raise typer.Exit(exits.NO_DAEMON) from None
    except LocalError as error:
        typer.echo(f"gcks: {error}", err=True)
        raise typer.Exit(exits.REFUSED) from None


def _print(answer: dict[str, Any], as_json: bool) -> None:
    from gcks.cli.tables import render

    if as_json:
        typer.echo(json.dumps(answer))
    else:
        render(answer)


def show(
    what: Annotated[Subject, typer.Argument(help="What to show.")] = Subject.server,
    group: Annotated[str | None, ONE_GROUP] = None,
    match: Annotated[str | None, MATCH] = None,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Show the state of the running server."""

    def ask(client: Client) -> dict[str, Any]:
        if what not in _OF_ONE_GROUP or group is not None:
            return _pages(client, what, group, match)
        groups = [row["group"] for row in client.ask("show", what="groups")["groups"]]
        answers = [_pages(client, what, group, match) for group in groups]
        if len(answers) == 1:
            return answers[0]
        rows = [row for answer in answers for row in answer[what.value]]
        whole = {"schema_version": 1, what.value: rows, "next": None}
        return {**whole, "group": ""} if what is Subject.members else whole

    _print(_asked(socket, ask), as_json)


_OF_ONE_GROUP: Final = (Subject.members, Subject.senders)
"""What the server shows of one group at a time."""


def _pages(client: Client, what: Subject, group: str | None, match: str | None) -> dict[str, Any]:
    answer = client.ask("show", what=what.value, group=group, match=match)
    rows = answer.get(what.value)
    while isinstance(rows, list) and answer.get("next") is not None:
        start = answer["next"]
        answer = client.ask("show", what=what.value, group=group, match=match, start=start)
        rows += answer[what.value]
    return {**answer, what.value: rows} if isinstance(rows, list) else answer


def plan(
    config: Annotated[Path | None, CONFIG] = None,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Say what `gcks reload` would do: which rekeys, who is excluded, who is locked out."""
    path = str(config.absolute()) if config is not None else None
    answer = _asked(socket, lambda client: client.ask("plan", config=path))
    from gcks.cli.tables import render_plan

    if as_json:
        typer.echo(json.dumps(answer))
    else:
        render_plan(answer)
    raise typer.Exit(exits.DONE if answer["usable"] else exits.REFUSED)


def reload(socket: Socket = None, as_json: Json = False) -> None:
    """Take over the server's configuration file as a whole, or not at all."""
    _print(_asked(socket, lambda client: client.ask("reload")), as_json)


def rekey(group: Annotated[str, GROUP], socket: Socket = None, as_json: Json = False) -> None:
    """Renew all keys of GROUP now."""
    _print(_asked(socket, lambda client: client.ask("rekey", group=group)), as_json)


def exclude(
    group: Annotated[str, GROUP],
    names: Annotated[list[str] | None, NAMES] = None,
    certificate: Annotated[Path | None, CERTIFICATE] = None,
    now: Annotated[bool, typer.Option("--now", help="Don't wait for other exclusions.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help=YES)] = False,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Shut members out of GROUP, and keep them out until they are readmitted."""
    whom = {"group": group, "immediate": now, **_whom(names, certificate, excluding=True)}

    def ask(client: Client) -> dict[str, Any]:
        if not (yes or dry_run):
            _confirm(client.ask("exclude", dry_run=True, **whom))
        return client.ask("exclude", dry_run=dry_run, **whom)

    _print(_asked(socket, ask), as_json)


def _confirm(outlook: dict[str, Any]) -> None:
    """Ask before all members are troubled; a script says --yes."""
    if not outlook["starts_over"]:
        return
    if not sys.stdin.isatty():
        raise LocalError(f"{outlook['how']}; say --yes if that is what you want")
    typer.confirm(f"{outlook['how']}. Go on?", abort=True, err=True)


def readmit(
    group: Annotated[str, GROUP],
    names: Annotated[list[str] | None, EXCLUDED] = None,
    certificate: Annotated[Path | None, CERTIFICATE] = None,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Lift exclusions, by the names that they were made with."""
    whom = _whom(names, certificate, excluding=False)
    _print(_asked(socket, lambda client: client.ask("readmit", group=group, **whom)), as_json)


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until interrupted.")
    ] = False,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, max=1000, help="How many of the past.")
    ] = 50,
    level: Annotated[
        Level, typer.Option("--level", help="The least that is printed; debug: every message.")
    ] = Level.info,
    group: Annotated[str | None, ONE_GROUP] = None,
    names: Annotated[list[str] | None, EVENT] = None,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Print what happened at the server, and with --follow what happens.

    It remembers the last 200 events of each kind since its start; docs/events.md explains them.
    """

    from gcks.cli.tables import render_event

    wanted = {"level": level.value, "group": group, "names": names or []}

    def tell(client: Client) -> None:
        for event in client.events(last, follow=follow, **wanted):
            typer.echo(json.dumps(event)) if as_json else render_event(event)

    with suppress(KeyboardInterrupt):
        _asked(socket, tell)


MAX_SUBJECT_CHARACTERS: Final = 512
"""Of a certificate, as far as the server keeps it: with the serial number it fits a request."""


def _whom(names: list[str] | None, certificate: Path | None, *, excluding: bool) -> dict[str, Any]:
    if bool(names) == (certificate is not None):
        raise typer.BadParameter("give either identities or --certificate")
    if certificate is None:
        return {"kind": "identity", "names": names}
    name, about = _reference(certificate)
    return {"kind": "certificate", "names": [name]} | ({"about": about} if excluding else {})


def _reference(path: Path) -> tuple[str, str]:
    """Return what the server knows a certificate by (issuer and serial number), and people."""
    from cryptography import x509

    from gcks.crypto.certificate_reading import UNREADABLE, reference
    from gcks.daemon.config.problems import unreadable

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        name = reference(certificate.issuer, certificate.serial_number).hex()
        subject = certificate.subject.rfc4514_string()[:MAX_SUBJECT_CHARACTERS]
        return name, f"{subject}, serial {certificate.serial_number:x}"
    except OSError as error:
        raise typer.BadParameter(f"--certificate: {unreadable(path, error)}") from None
    except UNREADABLE:
        raise typer.BadParameter(
            f"--certificate: {path} holds no PEM certificate; give the member's, or of DER make "
            "PEM with: openssl x509 -inform DER -in FILE"
        ) from None

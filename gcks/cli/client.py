"""The control socket from the commands' side: a line out, a line in."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any, Final, Self

from gcks.errors import LocalError

DEFAULT_SOCKET: Final = Path("/run/gcks/control.sock")
SOCKET_VARIABLE: Final = "GCKS_CONTROL"
ANSWER_SECONDS: Final = 60.0
_MAX_LINE_OCTETS: Final = 64 << 20
_TIMEVAL: Final = Struct("ll")
_ENDED: Final = "the server has ended the connection"
_NAME_IT: Final = f"name its socket with --socket or {SOCKET_VARIABLE}"


class NoServer(LocalError):
    """There is no server to talk to."""


class Client:
    """One connection; requests are answered in their order."""

    def __init__(
        self, path: Path, what: str = "key server", seconds: float = ANSWER_SECONDS
    ) -> None:
        """Connect; `seconds` is how long an answer may take.

        Raises `NoServer`, and `LocalError` where the server won't talk to us.
        """
        self._path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Blocking: where many others want in, the kernel then lets us wait for our turn.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(seconds), 0))
        try:
            self._sock.connect(str(path))
        except OSError as error:
            self._sock.close()
            raise _no_connection(path, what, error) from None
        self._sock.settimeout(seconds)
        self._lines = self._sock.makefile("rb")
        hello = self._read()
        if "error" in hello:
            raise LocalError(hello["error"])
        if hello.get("hello") != "gcks":
            raise NoServer(f"{path} is another program's socket; {_NAME_IT}")
        self.role = str(hello.get("role"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._sock.close()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Return the result.  Raises `LocalError` with the server's words."""
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            self._sock.sendall(json.dumps({"do": do, **given}).encode() + b"\n")
        except OSError:
            raise NoServer(_ENDED) from None
        answer = self._read()
        if not answer.get("ok"):
            raise LocalError(str(answer.get("error")))
        result: dict[str, Any] = answer["result"]
        return result

    def events(self, last: int, *, follow: bool, **wanted: Any) -> Iterator[dict[str, Any]]:
        """Yield the last events, and, to follow them, those that come, without end."""
        yield from self.ask("events", last=last, follow=follow, **wanted)["events"]
        if not follow:
            return
        self._sock.settimeout(None)
        while True:
            yield self._read()

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline(_MAX_LINE_OCTETS)
        except OSError as error:
            raise NoServer(f"the server doesn't answer: {error.strerror or error}") from None
        if not line:
            raise NoServer(_ENDED)
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise NoServer(f"{self._path} is another program's socket; {_NAME_IT}")
        return content


def _no_connection(path: Path, what: str, error: OSError) -> LocalError:
    if isinstance(error, PermissionError):
        return LocalError(
            f"{path}: not allowed; ask as root, or see control.readers in its configuration"
        )
    return NoServer(
        f"no {what} at {path} ({error.strerror or error}); start it, or {_NAME_IT}"
        " (with --dev it is control.sock in the data directory)"
    )


def socket_path(given: Path | None, default: Path = DEFAULT_SOCKET) -> Path:
    """Return where a daemon listens: as given, in the environment, or by default."""
    return given or Path(os.environ.get(SOCKET_VARIABLE) or default)

"""`gcks`: the key server's command line."""

from __future__ import annotations

from typing import Final

from gcks.cli.lazy import lazy_app, run

COMMANDS: Final = {
    "serve": "gcks.cli.serve:serve",
    "check": "gcks.cli.check:check",
    "plan": "gcks.cli.operate:plan",
    "reload": "gcks.cli.operate:reload",
    "show": "gcks.cli.operate:show",
    "rekey": "gcks.cli.operate:rekey",
    "exclude": "gcks.cli.operate:exclude",
    "readmit": "gcks.cli.operate:readmit",
    "events": "gcks.cli.operate:events",
    "audit": "gcks.cli.audit:audit",
    "decode": "gcks.cli.decode:decode",
    "demo": "gcks.cli.demo.command:demo",
    "version": "gcks.cli.version:server_version",
}

app = lazy_app("gcks", "Key server for encrypted multicast: G-IKEv2 (RFC 9838).", COMMANDS)


def main() -> None:
    run(app, "gcks")

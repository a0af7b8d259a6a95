"""`gcks-member`: the group member's command line."""

from __future__ import annotations

from typing import Final

from gcks.cli.lazy import lazy_app, run

COMMANDS: Final = {
    "run": "gcks.cli.run:run",
    "check": "gcks.cli.check:check",
    "status": "gcks.cli.member_operate:status",
    "leave": "gcks.cli.member_operate:leave",
    "version": "gcks.cli.version:member_version",
}

app = lazy_app("gcks-member", "Group member for encrypted multicast: G-IKEv2 (RFC 9838).", COMMANDS)


def main() -> None:
    run(app, "gcks-member")


if __name__ == "__main__":
    main()

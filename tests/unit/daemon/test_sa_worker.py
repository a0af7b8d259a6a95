"""What a member's data plane can't do is told, shown and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gcks.daemon.sa_worker import SaWorker
from gcks.dataplane.exec_hook import ExecDataPlane
from gcks.dataplane.interface import DataPlane, ReceiveOnly, SaCommand
from gcks.events import DataPlaneFailed, Event, ReceivesOnly, SaChange
from gcks.iana import ProtocolId
from gcks.member.data_plane import ActivateSa, InstallSa, RemoveSa
from gcks.member.status import DataSaStatus, MembershipStatus, MemberStatus
from tests.support.install_sa import INSTALL

GROUP, SPI = INSTALL.group, INSTALL.spi
ACTIVATE = ActivateSa(GROUP, ProtocolId.ESP, SPI)
REMOVE = RemoveSa(GROUP, ProtocolId.ESP, SPI)
SA = DataSaStatus("ESP", SPI.hex(), "both", "any", "239.1.2.3", True, False, None)
BARE = MembershipStatus(GROUP, "registered", "", 0, "", (SA,), (), 1, 0, "", None)
STATUS = MemberStatus("fqdn:gm1.dev", "192.0.2.1:848", "none", (BARE, replace(BARE, group="other")))


class SharedCounter:
    """As the kernel's: it installs an SA that it can't send on."""

    async def apply(self, command: SaCommand) -> None:
        if isinstance(command, InstallSa):
            raise ReceiveOnly("Linux can't send on it")

    async def close(self) -> None:
        return


class Stage:
    def __init__(self, plane: DataPlane) -> None:
        self.told: list[Event] = []
        self.worker = SaWorker(plane, self._tell)
        self.task = asyncio.create_task(self.worker.run())

    def _tell(self, events: Sequence[Event]) -> None:
        self.told += events

    async def do(self, *commands: SaCommand) -> None:
        for command in commands:
            self.worker.put(command)
        await self.worker.settled()

    @property
    def shown(self) -> MembershipStatus:
        group, other = self.worker.marked(STATUS).groups
        assert other == STATUS.groups[1]
        return group


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Stage]:
    """A hook that fails where the file `broken` has the command's name."""
    script = (
        f"command=$(cat); for one in $(cat {tmp_path}/broken); do case $command in "
        '*"\\"command\\": \\"$one\\""*) echo no such algorithm >&2; exit 1;; esac; done'
    )
    stage = Stage(ExecDataPlane(("sh", "-c", script), 10.0))
    yield stage
    stage.task.cancel()


async def test_what_works_is_not_worth_a_word(hook: Stage, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("")
    await hook.do(INSTALL, ACTIVATE, REMOVE)
    assert hook.told == []
    assert hook.worker.marked(STATUS) is STATUS


async def test_an_sa_that_is_not_installed_is_one_event_and_shown(
    hook: Stage, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("install_sa activate_sa")
    await hook.do(INSTALL, ACTIVATE)
    (event,) = hook.told
    assert isinstance(event, DataPlaneFailed)
    assert (event.group, event.command, event.spi) == (GROUP, SaChange.INSTALL, SPI.hex())
    assert "no such algorithm" in event.cause
    assert hook.shown.sas_not_installed == 1
    assert hook.shown.last_error == event.cause
    assert not hook.shown.data_sas[0].active_outbound


@pytest.mark.parametrize("healed_by", [(REMOVE,), (REMOVE, INSTALL)])
async def test_it_is_forgotten_when_it_is_over(
    hook: Stage, tmp_path: Path, healed_by: tuple[SaCommand, ...]
) -> None:
    (tmp_path / "broken").write_text("install_sa")
    await hook.do(INSTALL)
    (tmp_path / "broken").write_text("")
    await hook.do(*healed_by)
    assert hook.worker.marked(STATUS) is STATUS


async def test_an_sa_that_is_not_sent_on_is_shown_so(hook: Stage, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("activate_sa")
    await hook.do(INSTALL, ACTIVATE)
    (event,) = hook.told
    assert isinstance(event, DataPlaneFailed) and event.command is SaChange.ACTIVATE
    assert hook.shown.sas_not_installed == 0 and hook.shown.last_error == event.cause
    assert not hook.shown.data_sas[0].active_outbound


async def test_a_failed_removal_is_told(hook: Stage, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("remove_sa")
    await hook.do(INSTALL, REMOVE)
    (event,) = hook.told
    assert isinstance(event, DataPlaneFailed) and event.command is SaChange.REMOVE


async def test_the_engines_own_error_stays_beside_it(hook: Stage, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("install_sa")
    await hook.do(INSTALL)
    group = replace(BARE, last_error="no answer")
    shown = hook.worker.marked(replace(STATUS, groups=(group,))).groups[0]
    assert shown.last_error.startswith("no answer; ") and "no such algorithm" in shown.last_error


async def test_receiving_only_is_no_failure() -> None:
    """Linux forms the IV without Sender-ID (RFC 6054): expected, and shown."""
    stage = Stage(SharedCounter())
    await stage.do(INSTALL, ACTIVATE)
    assert stage.told == [ReceivesOnly(GROUP, SPI.hex(), "Linux can't send on it")]
    assert stage.shown.sas_not_installed == 0
    assert stage.shown.last_error == "Linux can't send on it"
    assert not stage.shown.data_sas[0].active_outbound
    await stage.do(REMOVE)
    assert stage.worker.marked(STATUS) is STATUS
    stage.task.cancel()

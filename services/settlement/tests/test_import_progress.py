"""Whoever imports contributions sees how far it is, chunk by chunk."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from kit.clock import FixedClock
from kit.testing import MemoryWork
from settlement import import_command
from settlement.contribution_memory import MemoryContributions
from settlement.contribution_repository import ContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import Account, AccountState
from settlement.import_command import EXIT_COMPLETE, ImportOrder

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
ROWS = 5


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(disable=True)
        self.completed: list[Any] = []

    def update(self, *arguments: Any, **said: Any) -> None:
        self.completed.append(said.get("completed"))
        super().update(*arguments, **said)


@pytest.fixture
async def service() -> ContributionService:
    work = MemoryWork[ContributionRepository](MemoryContributions())
    async with work() as repository:
        await repository.add(Account("father", AccountState.OPEN, 0, 0, 0))
    return ContributionService(work, FixedClock(NOON))


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImportOrder:
    monkeypatch.setattr(import_command, "CHUNK_ROWS", 2)
    file = tmp_path / "june.csv"
    rows = "".join(f"c{number},father,{number + 1},\n" for number in range(ROWS))
    file.write_text(f"contribution_id,psn_no,amount,kind\n{rows}", encoding="utf-8")
    return ImportOrder(file, None)


async def test_each_chunk_is_told_once_it_is_credited(
    service: ContributionService, order: ImportOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, told = Console(file=io.StringIO()), Told()
    monkeypatch.setattr(import_command, "progress_of", lambda _: told)
    assert await import_command._import(service, order, console) == EXIT_COMPLETE
    assert told.completed == [2, 4, 5]


@pytest.mark.parametrize("is_terminal", [True, False])
async def test_the_bar_names_the_file_and_ends_full(
    service: ContributionService, order: ImportOrder, *, is_terminal: bool
) -> None:
    console = Console(file=io.StringIO(), record=True, force_terminal=is_terminal, width=160)
    assert await import_command._import(service, order, console) == EXIT_COMPLETE
    said = console.export_text()
    assert re.search(rf"june\.csv .* {ROWS}/{ROWS} ", said), said
    assert "credited 5 (15 fen)" in said

"""How a command that takes long shows where it is."""

import io

import pytest
from rich.console import Console

from kit.terminal import progress_of


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_shown_before_the_first_row_is_done_and_when_all_are(*, is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), record=True, force_terminal=is_terminal, width=120)
    with progress_of(console) as progress:
        task = progress.add_task("june.csv", total=4_000)
        progress.refresh()
        for completed in (1_000, 4_000):
            progress.update(task, completed=completed)
            progress.refresh()
    said = console.export_text()
    assert (" 0/4000" in said) is is_terminal, "a log gets the end alone"
    assert "4000/4000" in said
    assert ("rows/s" in said) is is_terminal, "a speed is for somebody who looks"

"""The demo plays to its end, again and again, and leaves the clock as it was."""

import io

import pytest
from rich.console import Console

from gongji_local.client import Hospital
from gongji_local.demo import play
from gongji_local.demo.checks import DemoFailedError
from gongji_local.stack import Stack


def played(stack: Stack) -> str:
    printed = io.StringIO()
    play(stack, Console(file=printed, width=120))
    return printed.getvalue()


def test_the_demo_plays_twice_with_other_people(stack: Stack) -> None:
    stack.reset_clock()  # as whoever runs it finds it
    first = played(stack)
    second = played(stack)
    for shown in ("共济账户支出提醒", "共济账户退款提醒", "cash 现金支付", "¥150.00", "`settlement audit`"):
        assert shown in first
        assert shown in second
    assert not set(_setl_ids(first)) & set(_setl_ids(second))


def test_the_demo_leaves_the_clock_as_it_was(stack: Stack) -> None:
    before = stack.folder.clock_offset_file.read_text()
    played(stack)
    assert stack.folder.clock_offset_file.read_text() == before


def test_the_demo_fails_when_an_amount_is_off(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Hospital.settle

    async def one_fen_too_many(self: Hospital, request: object, **options: object) -> object:
        settled = await honest(self, request, **options)  # type: ignore[arg-type]
        settled.split.acct_mulaid_pay += 1
        return settled

    monkeypatch.setattr(Hospital, "settle", one_fen_too_many)
    with pytest.raises(DemoFailedError, match=r"what the father paid should be ¥90\.00, and is ¥90\.01"):
        played(stack)


def _setl_ids(printed: str) -> list[str]:
    return [line.split("│")[2].strip() for line in printed.splitlines() if "setl_id" in line and "│" in line]

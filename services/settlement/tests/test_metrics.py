"""What settlements come to and what they move is counted when it is committed, once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from kit.failpoints import Boundary
from settlement.domain.state import SettlementState
from settlement.testing import Family, bill, hold, paid, reason, resettle, settle
from settlement.testing_failpoints import Crash, Dying


def counted() -> dict[tuple[str, ...], float]:
    names = {"gongji_settlements_total": ("outcome", "reason"), "gongji_settlement_fen_total": ("direction", "account")}
    return {
        tuple(sample.labels[label] for label in names[sample.name]): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in names
    }


@contextmanager
def counting() -> Iterator[dict[tuple[str, ...], float]]:
    """What was counted within, filled in at the end."""
    before, more = counted(), dict[tuple[str, ...], float]()
    yield more
    more |= {key: value - before.get(key, 0.0) for key, value in counted().items() if value != before.get(key, 0.0)}


async def test_a_settlement_counts_once_with_what_each_kind_of_account_paid() -> None:
    family = Family()
    with counting() as more:
        await family.settle(1, 9000)
        await family.settle(1, 9000)  # the same request is answered from its record
    assert more == {("SETTLED", ""): 1, ("taken", "mutual_aid"): 9000}


async def test_a_reversal_gives_back_what_was_taken() -> None:
    family = Family()
    await family.settle(1, 9000)
    with counting() as more:
        paid(await family.world.reverse(2, of=1))
        paid(await family.world.reverse(3, of=1))
    assert more == {("REVERSED", ""): 1, ("given_back", "mutual_aid"): 9000}


async def test_settling_again_counts_both_sides() -> None:
    family = Family()
    await family.settle(1, 9000)
    with counting() as more:
        paid((await family.world.settle(resettle(2, 1, bill("child", 6000))))[0])
    assert more == {
        ("SETTLED", ""): 1,
        ("REVERSED", ""): 1,
        ("given_back", "mutual_aid"): 9000,
        ("taken", "mutual_aid"): 6000,
    }


async def test_a_refusal_after_the_intent_counts_with_its_reason_and_moves_nothing() -> None:
    family = Family()
    with counting() as more:
        (answer,) = await family.world.settle(settle(1, bill("child", 9000), expected_acct_mulaid_pay_fen=1))
    assert reason(answer) == "AMOUNT_CHANGED"
    assert more == {("REFUSED", "AMOUNT_CHANGED"): 1}


async def test_a_preview_that_holds_counts_and_moves_nothing_until_it_is_settled() -> None:
    family = Family()
    with counting() as held:
        (quote,) = await family.world.hold(hold(1, bill("child", 9000)))
    assert held == {("HELD", ""): 1}
    with counting() as settled:
        paid((await family.world.settle_quotes(settle(2, bill("child", 9000), quote_id=quote.quote_id)))[0])  # type: ignore[union-attr]
    assert settled == {("SETTLED", ""): 1, ("taken", "mutual_aid"): 9000}


async def test_what_is_given_up_counts_as_abandoned() -> None:
    family = Family()
    family.world.binding.down = True
    with counting() as more:
        (answer,) = await family.world.settle(settle(1, bill("child", 9000)))
    assert isinstance(answer, Exception)
    assert more == {("ABANDONED", "ABANDONED"): 1}


async def test_a_batch_counts_each_of_its_settlements() -> None:
    family = Family()
    family.memory.accounts["mother"] = family.memory.accounts["father"]
    with counting() as more:
        answers = await family.world.settle(
            settle(1, bill("child", 9000)), settle(2, bill("father", 500), use_mutual_aid=False)
        )
    assert [paid(answer).state for answer in answers] == [SettlementState.SETTLED] * 2
    assert more == {("SETTLED", ""): 2, ("taken", "mutual_aid"): 9000, ("taken", "own"): 500}


def told(name: str) -> float:
    return REGISTRY.get_sample_value(f"gongji_settlement_{name}") or 0.0


async def test_the_sweeper_tells_what_is_pending_and_counts_what_it_gave_up() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_INTENT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    family.memory.ticks[0] += timedelta(seconds=7)
    before = told("swept_total")
    await family.world.sweep(age_seconds=20)
    assert (told("pending"), told("oldest_pending_seconds") >= 7, told("swept_total") - before) == (1, True, 0)
    with counting() as more:
        await family.world.sweep(age_seconds=5)
    assert (told("pending"), told("oldest_pending_seconds"), told("swept_total") - before) == (0, 0, 1)
    assert more == {("ABANDONED", "ABANDONED"): 1}
    assert told("last_sweep_seconds") > 0

"""In which order accounts pay (R9) is the region's setting, and whatever the pipeline does keeps to it."""

from collections.abc import AsyncIterator

import pytest

from kit.testing import MemoryWork
from settlement.commands import Command
from settlement.config import Settings
from settlement.domain.allocate import PaymentOrder, Split
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.memory import MemorySettlements
from settlement.pipeline import Pipeline, assemble
from settlement.preview_service import PreviewCommand
from settlement.testing import FakeRelation, World, account, bill, hold, resettle, settle

OWN_FEN, LIMIT_FEN = 2_500, 4_000
BILL = bill("mother", 5_000)
FEWER = bill("mother", 4_200)
OF_BILL = {PaymentOrder.OWN_ACCOUNT_FIRST: (2_500, 2_500), PaymentOrder.MUTUAL_AID_FIRST: (1_000, 4_000)}
OF_FEWER = {PaymentOrder.OWN_ACCOUNT_FIRST: (2_500, 1_700), PaymentOrder.MUTUAL_AID_FIRST: (200, 4_000)}
"""By order, what mother's own account and what father pays."""


@pytest.fixture(params=PaymentOrder)
def order(request: pytest.FixtureRequest) -> PaymentOrder:
    return PaymentOrder(request.param)


@pytest.fixture
async def pipeline(order: PaymentOrder) -> AsyncIterator[Pipeline]:
    """As a process with that setting has it: mother is the patient and has an account, father pays up to his limit."""
    memory = MemorySettlements()
    memory.accounts = {"father": account("father", 50_000), "mother": account("mother", OWN_FEN)}
    world = World(MemoryWork(memory), FakeRelation("father", "mother", LIMIT_FEN))
    settings = Settings.model_construct(payment_order=order)
    made = assemble(settings, world.work, world.binding, world.credentials, world.clock)
    yield made
    await made.drain()


def paid(split: Split | None) -> tuple[int, int]:
    assert split is not None
    assert split.psn_cash_pay_fen == 0
    return split.acct_pay_fen, split.acct_mulaid_pay_fen


async def settled(pipeline: Pipeline, command: Command) -> tuple[int, int]:
    answer = await pipeline.settling.submit(command)
    assert isinstance(answer, Settlement)
    return paid(answer.split)


async def test_a_preview_shows_and_a_settlement_gives_what_the_order_says(
    pipeline: Pipeline, order: PaymentOrder
) -> None:
    command = settle(1, BILL)
    preview = PreviewCommand(command.presented, acct_used_flag=True, use_mutual_aid=True)
    shown = await pipeline.previewing.submit(preview)
    assert paid(shown.split) == OF_BILL[order]
    assert await settled(pipeline, command) == OF_BILL[order]


async def test_a_held_preview_keeps_and_pays_what_the_order_says(pipeline: Pipeline, order: PaymentOrder) -> None:
    quote = await pipeline.settling.submit(hold(1, BILL))
    assert isinstance(quote, Quote)
    assert paid(quote.split) == OF_BILL[order]
    used = await pipeline.quoted.submit(settle(2, BILL, quote_id=quote.quote_id))
    assert isinstance(used, Settlement)
    assert paid(used.split) == OF_BILL[order]


async def test_settling_again_follows_the_order_anew(pipeline: Pipeline, order: PaymentOrder) -> None:
    await settled(pipeline, settle(1, BILL))
    assert await settled(pipeline, resettle(2, 1, FEWER)) == OF_FEWER[order]


async def test_bills_in_bulk_follow_the_order(pipeline: Pipeline, order: PaymentOrder) -> None:
    (answer,) = await pipeline.bulk.settle([settle(1, BILL)])
    assert isinstance(answer, Settlement)
    assert paid(answer.split) == OF_BILL[order]

"""What a region sets for settlement reaches money and books: mutual aid before the own account (R9), blocks by SM3."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from support.books import books_are_clean
from support.families import Families, Family

from gongji.settlement.v1 import settlement_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import bill, msgid
from gongji_local.stack import Stack
from kit.testing import eventually

SEALED_WITH = """
SELECT DISTINCT (
    SELECT b.algorithm FROM entry_block AS b
    WHERE (b.last_tx, b.last_entry_id) >= (e.tx, e.id) ORDER BY b.number LIMIT 1
) AS algorithm
FROM entry AS e WHERE e.settlement_id = $1::uuid
"""


async def restart(stack: Stack, **environment: str) -> None:
    await asyncio.to_thread(stack.stop_service, "settlement")
    await asyncio.to_thread(stack.start_service, "settlement", environment)


@pytest.fixture
async def family(families: Families, stack: Stack) -> AsyncIterator[Family]:
    """Mother has an account of her own, father pays up to 40 yuan of each of her bills; settlement is set otherwise."""
    made = await families.make({"father": 50_000, "mother": 2_500}, Relation("father", "mother", {"settlement": 4_000}))
    await restart(stack, GONGJI_PAYMENT_ORDER="mutual_aid_first", GONGJI_SEAL_ALGORITHM="SM3")
    yield made
    await restart(stack)


def paid(split: settlement_pb2.Split) -> tuple[int, int, int]:
    """From mother's own account, by father, in cash."""
    return split.acct_pay, split.acct_mulaid_pay, split.psn_cash_pay


def bill_of_mother(family: Family, psn_part_amt: int) -> settlement_pb2.Bill:
    return bill(family.psn_no("mother"), medfee_sumamt=psn_part_amt)


async def preview_and_settle(family: Family, of: settlement_pb2.Bill) -> settlement_pb2.Settlement:
    """The settlement of what was shown before it."""
    hospital, credential = family.hospital, await family.credential("mother")
    shown = await hospital.preview(of, credential, acct_used_flag=True)
    request = hospital.settle_request(of, credential, at=family.world.stack.now(), acct_used_flag=True)
    settlement = await hospital.settle(request)
    assert shown.split == settlement.split
    return settlement


async def hold_and_settle(family: Family, of: settlement_pb2.Bill) -> settlement_pb2.Settlement:
    """The settlement of what a preview kept."""
    hospital, now = family.hospital, family.world.stack.now()
    credential = await family.credential("mother")
    held = await hospital.preview(of, credential, acct_used_flag=True, hold_under=msgid(hospital.fixmedins_code, now))
    request = hospital.settle_request(of, "", at=now, acct_used_flag=True)
    request.quote_id = held.quote.quote_id
    settlement = await hospital.settle(request)
    assert held.split == settlement.split
    return settlement


async def settle_again(family: Family, setl_id: str, of: settlement_pb2.Bill) -> settlement_pb2.Settlement:
    hospital = family.hospital
    request = settlement_pb2.ResettleRequest(
        fixmedins_code=hospital.fixmedins_code,
        msgid=msgid(hospital.fixmedins_code, family.world.stack.now()),
        setl_id=setl_id,
        bill=of,
        acct_used_flag=True,
        use_mutual_aid=True,
    )
    return (await hospital.resettle(request)).settlement


async def sealed_with(stack: Stack, setl_id: str) -> set[str | None]:
    """What the entries of a settlement are sealed with; None for what is not yet."""
    connection = await asyncpg.connect(stack.info.database_url("settlement"))
    try:
        return {row["algorithm"] for row in await connection.fetch(SEALED_WITH, setl_id)}
    finally:
        await connection.close()


async def test_mutual_aid_pays_first_and_blocks_are_hashed_by_sm3_where_the_region_says_so(
    family: Family, stack: Stack
) -> None:
    settled = await preview_and_settle(family, bill_of_mother(family, 5_000))
    assert paid(settled.split) == (1_000, 4_000, 0)
    assert paid((await hold_and_settle(family, bill_of_mother(family, 4_800))).split) == (800, 4_000, 0)

    again = bill(family.psn_no("mother"), medfee_sumamt=4_200, mdtrt_id=settled.bill.mdtrt_id)
    resettled = await settle_again(family, settled.setl_id, again)
    assert paid(resettled.split) == (200, 4_000, 0)
    assert (await family.balance("mother"), await family.balance("father")) == (1_500, 42_000)

    async def is_sealed() -> bool:
        return None not in await sealed_with(stack, resettled.setl_id)

    await eventually(is_sealed, what="the last entries are sealed")
    assert await sealed_with(stack, resettled.setl_id) == await sealed_with(stack, settled.setl_id) == {"SM3"}
    await books_are_clean(stack)

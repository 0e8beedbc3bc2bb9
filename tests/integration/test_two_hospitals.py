"""Two hospitals settle on one account and one limit at once: neither is ever exceeded."""

import asyncio

from support.families import Families, Family

from gongji.settlement.v1 import settlement_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import Hospital

BILL_FEN = 700


async def settle_all(family: Family, patients: list[str], hospitals: list[Hospital]) -> list[settlement_pb2.Settlement]:
    requests = [
        (hospital, await family.request(patient, BILL_FEN, hospital=hospital))
        for patient, hospital in zip(patients, hospitals, strict=True)
    ]
    return await asyncio.gather(*(hospital.settle(request) for hospital, request in requests))


async def test_two_hospitals_never_overdraw_one_account(families: Families) -> None:
    family = await families.make(
        {"father": 5_000},
        Relation("father", "child", {"year": 1_000_000}),
        Relation("father", "baby", {"year": 1_000_000}),
    )
    both = [family.world.hospitals["hospital"], family.world.hospitals["pharmacy"]]
    settled = await settle_all(family, ["child", "baby"] * 6, both * 6)
    paid = sum(settlement.split.acct_mulaid_pay for settlement in settled)
    assert paid == 5_000
    assert await family.balance("father") == 0
    for settlement in settled:
        split = settlement.split
        assert split.acct_mulaid_pay + split.psn_cash_pay == BILL_FEN
        assert all(line.balance_after >= 0 for line in split.lines)


async def test_two_hospitals_never_exceed_one_limit(families: Families) -> None:
    family = await families.make({"father": 100_000}, Relation("father", "child", {"day": 3_000, "settlement": 600}))
    both = [family.world.hospitals["hospital"], family.world.hospitals["pharmacy"]]
    settled = await settle_all(family, ["child"] * 8, both * 4)
    assert sum(settlement.split.acct_mulaid_pay for settlement in settled) == 3_000
    assert max(settlement.split.acct_mulaid_pay for settlement in settled) == 600
    await family.quiet()
    assert (await family.use("father", "child"))["DAY"] == (3_000, 0)

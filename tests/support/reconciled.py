"""Institutions, patients and a payer whose days are reconciled, and a plain model of what their days come to."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from kit.db import Work
from kit.failpoints import Failpoints
from settlement.domain.bill import ClearingType, MedicalType
from settlement.domain.reconciliation import Column
from settlement.domain.state import Settlement, SettlementState
from settlement.domain.visit import InsuranceType
from settlement.reconciliation_repository import ReconciliationRepository
from settlement.reconciliation_service import ReconciliationService
from settlement.repository import SettlementRepository
from settlement.reverse_service import ReverseCommand
from settlement.testing import HOSPITAL, FakeRelation, World, bill, enrolment, hold, msgid, resettle, settle, visit

PHARMACY = "P65270100009"
BEIJING = timezone(timedelta(hours=8))
TODAY, TOMORROW = date(2025, 6, 10), date(2025, 6, 11)
PATIENTS = {"child": InsuranceType.RESIDENT, "grandfather": InsuranceType.EMPLOYEE, "cousin": InsuranceType.RESIDENT}
MED_TYPES = {
    MedicalType.OUTPATIENT: ClearingType.OUTPATIENT,
    MedicalType.INPATIENT: ClearingType.INPATIENT,
    MedicalType.PHARMACY: ClearingType.PHARMACY,
}
BEFORE_MIDNIGHT = datetime(2025, 6, 10, 23, 59, 59, 999999, tzinfo=BEIJING)
MIDNIGHT = datetime(2025, 6, 11, tzinfo=BEIJING)
OUTPATIENT = Column(HOSPITAL, ClearingType.OUTPATIENT, InsuranceType.RESIDENT)


class Model:
    """Plain sums by day, institution, clr_type and insutype, kept by what was answered when; nothing of the product."""

    def __init__(self) -> None:
        self.sums: dict[tuple[date, str], dict[tuple[int, int], list[list[int]]]] = defaultdict(dict)

    def count(self, side: int, at: datetime, key: tuple[int, int], code: str, amounts: Sequence[int]) -> None:
        day = at.astimezone(BEIJING).date()
        sides = self.sums[day, code].setdefault(key, [[0] * 7, [0] * 7])
        sides[side] = [before + new for before, new in zip(sides[side], (1, *amounts), strict=True)]

    def of(self, day: date, code: str) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
        return {key: (sides[0], sides[1]) for key, sides in sorted(self.sums[day, code].items())}


class Region:
    """Two institutions, two patients and a father who pays, on whatever the rows are kept in."""

    def __init__(
        self,
        settlements: Work[SettlementRepository],
        days: Work[ReconciliationRepository],
        failpoints: Failpoints | None = None,
        first: int = 1,
    ) -> None:
        self.relations = [FakeRelation("father", patient, 10_000_000) for patient in PATIENTS]
        self.world = World(settlements, *self.relations, failpoints=failpoints)
        self.service = ReconciliationService(days, self.world.clock)
        self.model = Model()
        self.standing: list[tuple[Settlement, tuple[int, int], tuple[int, ...]]] = []
        self.closed: dict[date, object] = {}
        self.numbers = iter(range(first, 10_000))

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    def at(self, now: datetime) -> None:
        self.world.clock.set(now)

    async def settle(
        self,
        psn_part_fen: int = 9_000,
        *,
        fund_fen: int = 0,
        hosp_fen: int = 0,
        code: str = HOSPITAL,
        patient: str = "child",
        med_type: MedicalType = MedicalType.OUTPATIENT,
        quoted: bool = False,
    ) -> Settlement:
        number = next(self.numbers)
        total_fen = psn_part_fen + fund_fen + hosp_fen
        parts: dict[str, Any] = {"fund_pay_sumamt_fen": fund_fen, "hosp_part_amt_fen": hosp_fen}
        of = bill(patient, psn_part_fen, medfee_sumamt_fen=total_fen, med_type=med_type, **parts)
        token = f"{patient}-{number}"
        facts = visit(patient, jti=token, fixmedins_code=code, enrolment=enrolment(insutype=PATIENTS[patient]))
        self.world.credentials.facts[token] = replace(facts, issued_at=self.now, expires_at=self.now + timedelta(1))
        command = (hold if quoted else settle)(number, of, credential=token)
        command = replace(command, order=replace(command.order, fixmedins_code=code, msgid=msgid(number, code)))
        if quoted:
            (quote,) = await self.world.hold(command)
            assert not isinstance(quote, Exception), quote
            assert not isinstance(quote, Settlement)
            number = next(self.numbers)
            command = settle(number, of, credential="none", quote_id=quote.quote_id)
            command = replace(command, order=replace(command.order, fixmedins_code=code, msgid=msgid(number, code)))
            (answer,) = await self.world.settle_quotes(command)
        else:
            (answer,) = await self.world.settle(command)
        return self.settled(answer)

    def settled(self, answer: Settlement | Exception) -> Settlement:
        assert isinstance(answer, Settlement), answer
        assert answer.order
        assert answer.split
        of, split = answer.order.bill, answer.split
        key = (int(MED_TYPES[of.med_type]), int(PATIENTS[of.psn_no]))
        paid = (split.acct_pay_fen, split.acct_mulaid_pay_fen, split.psn_cash_pay_fen)
        amounts = (of.medfee_sumamt_fen, of.fund_pay_sumamt_fen, of.hosp_part_amt_fen, *paid)
        self.model.count(0, self.now, key, answer.fixmedins_code, amounts)
        self.standing.append((answer, key, amounts))
        return answer

    async def reverse(self, place: int = 0) -> None:
        settlement, key, amounts = self.standing.pop(place)
        code = settlement.fixmedins_code
        command = ReverseCommand(code, msgid(next(self.numbers), code), settlement.settlement_id)
        (answer,) = await self.world.reversing.reverse([command])
        assert isinstance(answer, Settlement), answer
        assert answer.state is SettlementState.REVERSED
        self.model.count(1, self.now, key, code, amounts)

    async def resettle(self, place: int = 0, psn_part_fen: int = 4_000) -> None:
        settlement, key, amounts = self.standing[place]
        assert settlement.order
        number, code = next(self.numbers), settlement.fixmedins_code
        old = settlement.order.bill
        rest = old.fund_pay_sumamt_fen + old.hosp_part_amt_fen
        of = replace(old, psn_part_amt_fen=psn_part_fen, medfee_sumamt_fen=psn_part_fen + rest)
        command = resettle(number, settlement.settlement_id, of)
        command = replace(command, order=replace(command.order, fixmedins_code=code, msgid=msgid(number, code)))
        (answer,) = await self.world.settle(command)
        del self.standing[place]
        self.model.count(1, self.now, key, code, amounts)
        self.settled(answer)

    async def close(self, day: date) -> None:
        self.closed[day] = await self.service.close_day(day, "clerk:zhao")

    async def totals(self, day: date, code: str = HOSPITAL) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
        _, totals = await self.service.daily_totals(code, day)
        assert all(column.fixmedins_code == code for column in totals)
        return {
            (int(column.clr_type), int(column.insutype or 0)): (list(total.gross.parts), list(total.refunds.parts))
            for column, total in totals.items()
        }

    async def check(self, days: Sequence[date]) -> None:
        for day in days:
            for code in (HOSPITAL, PHARMACY):
                assert await self.totals(day, code) == self.model.of(day, code), (day, code)
        for day, closing in self.closed.items():
            assert await self.service.close_day(day, "clerk:somebody-else") == closing

    async def play(self, steps: Sequence[tuple[str, int]]) -> None:
        days = {TODAY}
        for step, number in steps:
            if step == "settle":
                await self.settle(
                    1 + number % 5_000,
                    fund_fen=number % 700,
                    hosp_fen=number % 3,
                    code=(HOSPITAL, PHARMACY)[number % 2],
                    patient=list(PATIENTS)[number % 3],
                    med_type=list(MED_TYPES)[number % 5 % 3],
                    quoted=number % 7 == 0,
                )
            elif step == "reverse" and self.standing:
                await self.reverse(number % len(self.standing))
            elif step == "resettle" and self.standing:
                await self.resettle(number % len(self.standing), 1 + number % 3_000)
            elif step == "wait":
                self.at(self.now + timedelta(hours=number % 30, microseconds=number))
                days.add(self.now.astimezone(BEIJING).date())
            elif step == "close":
                day = self.now.astimezone(BEIJING).date() - timedelta(days=1)
                if self.now >= datetime(day.year, day.month, day.day, tzinfo=BEIJING) + timedelta(days=1, minutes=1):
                    await self.close(day)
        await self.check(sorted(days))

"""A family whose child's premium is being collected, for tests: on memory with a fake binding."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

from kit.errors import Refusal
from kit.failpoints import Failpoints
from kit.testing import MemoryWork
from settlement.domain.accounts import Account
from settlement.domain.premiums import Terms, premium_order
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Premium, Settlement
from settlement.domain.visit import EnrolmentFact, PersonFacts
from settlement.memory import MemorySettlements
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, account, enrolment

TERMS = Terms(2026, 40_000, date(2025, 6, 1), date(2025, 9, 30))


def resident(**changes: Any) -> PersonFacts:
    """Somebody who is insured under 390, but for the changes."""
    return PersonFacts(enrolments=(EnrolmentFact(enrolment(**changes), TEN_O_CLOCK),))


class Family:
    """A father and a mother with money, a child insured under 390, and a premium that is being collected."""

    def __init__(
        self, *, money_fen: int = 100_000, limit_fen: int = 500_000, failpoints: Failpoints | None = None
    ) -> None:
        self.memory = MemorySettlements()
        for name in ("father", "mother"):
            self.memory.accounts[name] = account(name, money_fen)
        self.memory.persons["child"] = resident()
        self.memory.premiums.stated.append((TERMS, "operator", TEN_O_CLOCK))
        self.father_to_child = FakeRelation("father", "child", limit_fen)
        self.mother_to_child = FakeRelation("mother", "child", limit_fen)
        work = MemoryWork(self.memory)
        self.world = World(work, self.father_to_child, self.mother_to_child, failpoints=failpoints)
        self.premiums = self.world.pipeline.premiums

    async def pay(
        self, payer: str = "father", payment_id: str = "", *, insured: str = "child", year: int = 2026, **more: Any
    ) -> Settlement:
        """Pay the premium of a year; it is raised if that is refused."""
        premium = Premium(year, payer)
        return await self.premiums.pay(premium_order(payment_id or str(uuid4()), insured, premium, **more), premium)

    async def refused(self, payer: str = "father", payment_id: str = "", **more: Any) -> str:
        """Why a payment is refused; AssertionError if it is not."""
        try:
            paid = await self.pay(payer, payment_id, **more)
        except (SettlementRefusedError, Refusal) as error:
            return str(getattr(error, "reason", ""))
        raise AssertionError(f"it was not refused: {paid}")

    @property
    def father(self) -> Account:
        """His account as it stands."""
        return self.memory.accounts["father"]

    @property
    def told(self) -> list[str]:
        """Names of the events."""
        return [type(message).__name__ for message in self.memory.outbox.messages]


def shanghai(*at: int) -> datetime:
    """A moment by the clocks there."""
    return datetime(*at, tzinfo=UTC) - timedelta(hours=8)  # type: ignore[misc, arg-type]

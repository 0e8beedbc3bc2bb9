"""Histories of requests, and the books that they leave, for properties about batches."""

from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from kit.testing import MemoryWork
from settlement.commands import Command
from settlement.domain.accounts import AccountState
from settlement.domain.premiums import Terms
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.domain.visit import EnrolmentFact, PersonFacts
from settlement.intents import Answer
from settlement.memory import MemorySettlements
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, account, enrolment

PATIENTS = ("child", "baby", "grandma", "mother")
PAYERS = ("father", "mother", "aunt")
PREMIUM = Terms(2026, 120, date(2025, 6, 1), date(2025, 6, 30))
"""What every patient's premium is."""


@dataclass(frozen=True)
class History:
    """Accounts, relations and batches of requests, no patient twice in a batch."""

    balances: dict[str, int]
    frozen: frozenset[str]
    limits: dict[tuple[str, str], int]
    batches: tuple[tuple[Command, ...], ...]

    def begin(self) -> "Books":
        """Books in which nothing has happened yet."""
        return Books(self)


class Books:
    """One run of a history."""

    def __init__(self, history: History) -> None:
        self.memory = MemorySettlements()
        for owner, balance in history.balances.items():
            state = AccountState.FROZEN if owner in history.frozen else AccountState.OPEN
            self.memory.accounts[owner] = account(owner, balance, state)
        resident = PersonFacts(enrolments=(EnrolmentFact(enrolment(), TEN_O_CLOCK),))
        self.memory.persons = dict.fromkeys(PATIENTS, resident)
        self.memory.premiums.stated.append((PREMIUM, "operator", TEN_O_CLOCK))
        relations = [FakeRelation(payer, patient, limit) for (payer, patient), limit in history.limits.items()]
        self.world = World(MemoryWork(self.memory), *relations)

    @property
    def balances(self) -> dict[str, int]:
        """Balances by account owner, fen."""
        return {owner: each.balance_fen for owner, each in self.memory.accounts.items()}

    @property
    def versions(self) -> dict[str, int]:
        """Versions by account owner."""
        return {owner: each.version for owner, each in self.memory.accounts.items()}

    @property
    def held(self) -> dict[str, int]:
        """What is held by account owner, fen."""
        return {owner: each.held_fen for owner, each in self.memory.accounts.items()}

    @property
    def told(self) -> list[object]:
        """The events, without the ids that every run draws anew."""
        return [_without_ids(message) for message in self.memory.outbox.messages]


def _without_ids(message: object) -> str:
    return "\n".join(line for line in str(message).splitlines() if "setl_id" not in line)


def gist(answer: Answer) -> object:
    """What an answer says, without the ids that every run draws anew."""
    if isinstance(answer, Settlement):
        return replace(answer, settlement_id=UUID(int=0))
    if isinstance(answer, Quote):
        return replace(answer, quote_id=UUID(int=0))
    return getattr(answer, "reason", repr(answer))

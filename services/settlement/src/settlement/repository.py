"""What the settle pipeline asks of the database. Everything in lists; one transaction for each unit of work."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from kit.outbox import Outbox
from settlement.domain.accounts import Account
from settlement.domain.decided import Decided
from settlement.domain.ledger import Posted
from settlement.domain.state import Fingerprint, Intent, Settlement
from settlement.domain.visit import InstitutionFacts, PersonFacts, Projection
from settlement.listing import Place
from settlement.premium_repository import PremiumRepository
from settlement.quote_repository import QuoteRepository

MsgKey = tuple[str, str]
"""fixmedins_code and msgid: what a request is known by."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """A request to reverse, by its own msgid."""

    fixmedins_code: str
    msgid: str
    settlement_id: UUID
    fingerprint: Fingerprint
    reason: str

    @property
    def key(self) -> MsgKey:
        """What the request is known by."""
        return self.fixmedins_code, self.msgid


@dataclass(frozen=True, slots=True)
class Projections:
    """What events have told, of several persons and institutions."""

    persons: Mapping[str, PersonFacts]
    institutions: Mapping[str, InstitutionFacts]

    def of(self, psn_no: str, fixmedins_code: str) -> Projection:
        """Of one visit."""
        return Projection(self.persons.get(psn_no), self.institutions.get(fixmedins_code))


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for before a batch begins."""

    keys: Collection[MsgKey] = ()
    jtis: Collection[str] = ()
    psn_nos: Collection[str] = ()
    fixmedins_codes: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch finds, all of it as of one moment."""

    any_known: bool
    """Whether there is a settlement, a quote or a reversal under any of the keys."""
    any_due: bool
    """Whether held previews have run out that still keep something."""
    bound_visits: Mapping[str, str]
    """By jti, the mdtrt_id that a credential belongs to, of those that have been used."""
    told: Projections


@dataclass(frozen=True, slots=True)
class Written:
    """An intent that was written."""

    at: datetime
    """By the database's clock."""
    binds: bool
    """Whether its credential was bound to its visit by it; else it was bound before, or there is none."""


@dataclass(frozen=True, slots=True)
class Lately:
    """What is there once intents have been written."""

    outcomes: Mapping[str, Sequence[Decided]]
    """By patient, what was decided in the last day about what had asked payers, quotes too; oldest first."""
    taken: AbstractSet[UUID] = frozenset()
    """Intents under whose msgid a held preview or a reversal has come before they were written."""


@dataclass(frozen=True, slots=True)
class Locked:
    """What the second transaction works on; settlements are locked before accounts, and both before the day."""

    pending: AbstractSet[UUID]
    """Those of the settlements that are still PENDING; who holds them decides them."""
    accounts: Mapping[str, Account]
    """By psn_no, those that there are."""
    day_is_open: bool | None
    """Whether something may be posted on the day, which stays so until the transaction ends; None: it has no row."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is under way."""

    settlements: int
    oldest_age_seconds: float
    """0 if there is none."""


class SettlementRepository(Protocol):
    """Settlements, what they are judged by, and what they move."""

    @property
    def outbox(self) -> Outbox:
        """Where facts are told, in this transaction."""
        ...

    @property
    def quotes(self) -> QuoteRepository:
        """Held previews, in this transaction."""
        ...

    @property
    def premiums(self) -> PremiumRepository:
        """Premiums, in this transaction; their payments are settlements."""
        ...

    async def real_time(self) -> datetime:
        """The database's clock, which nobody moves."""
        ...

    async def find_by_msgids(self, keys: Iterable[MsgKey]) -> dict[MsgKey, Settlement]:
        """The settlements of these msgids, those that there are."""
        ...

    async def find_by_ids(self, ids: Iterable[UUID]) -> dict[UUID, Settlement]:
        """The settlements of these ids, those that there are."""
        ...

    async def of_day(self, fixmedins_code: str, day: date, after: Place, limit: int) -> list[Settlement]:
        """An institution's settlements of a day in whatever state, from after this place on, in the order of places."""
        ...

    async def find_reversals(self, keys: Iterable[MsgKey]) -> dict[MsgKey, Reversal]:
        """The requests to reverse under these msgids, those that there are."""
        ...

    async def projections(self, psn_nos: Iterable[str], fixmedins_codes: Iterable[str]) -> Projections:
        """What events have told of these persons and institutions."""
        ...

    async def bound_visits(self, jtis: Iterable[str]) -> dict[str, str]:
        """The mdtrt_id that each of these credentials belongs to, of those that have been used."""
        ...

    async def look(self, sought: Sought, now: datetime) -> Seen:
        """What there is of what is sought, and whether previews have run out by `now`."""
        ...

    async def add_intents(self, intents: Sequence[Intent]) -> dict[UUID, Written]:
        """Write what is about to be settled, and bind its credentials to their visits unless they are bound.

        One that is missing in the answer was not written: its msgid is taken, or its patient has another settlement
        under way.
        """
        ...

    async def withdraw_intents(self, ids: Sequence[UUID]) -> None:
        """Undo intents that this transaction wrote, without a trace."""
        ...

    async def withdraw_fences(self, ids: Collection[UUID]) -> None:
        """Undo records that this transaction wrote, without a trace."""
        ...

    async def lately(self, psn_nos: Iterable[str], written: Sequence[Intent] = ()) -> Lately:
        """What was decided lately for these patients, and which of the intents that were written may not stay."""
        ...

    async def lock_to_settle(self, ids: Iterable[UUID], psn_nos: Iterable[str], day: date) -> Locked:
        """Lock those of these settlements that are still PENDING, the accounts of these persons, and the day."""
        ...

    async def lock(self, ids: Iterable[UUID]) -> dict[UUID, Settlement]:
        """Lock these settlements in whatever state, those that there are."""
        ...

    async def take_stale(self, age_seconds: float, limit: int) -> list[Settlement]:
        """Lock PENDING settlements older than this by the database's clock, passing over those that others hold."""
        ...

    async def pending(self) -> Backlog:
        """How many settlements and previews are PENDING, and for how long by the database's clock."""
        ...

    async def save(self, settlements: Sequence[Settlement], business_day: date | None = None) -> None:
        """Write locked settlements as their last move left them, with new lines, declines or refunds."""
        ...

    async def add_decided(self, settlements: Sequence[Settlement], business_day: date) -> None:
        """Write settlements that are decided as they come, whose msgids are free.

        Raises:
            asyncpg.UniqueViolationError: a msgid has been taken meanwhile.
        """
        ...

    async def add_fences(self, fences: Sequence[Settlement]) -> set[UUID]:
        """Write records of msgids that shall never be settled; those written: the others' msgids are taken."""
        ...

    async def add_reversals(self, reversals: Sequence[Reversal]) -> None:
        """Write requests to reverse; those whose msgid is taken are passed over."""
        ...

    async def lock_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        """Lock the accounts of these persons, those that there are."""
        ...

    async def read_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        """The accounts of these persons, those that there are, as they stand now."""
        ...

    async def hold_business_day(self, day: date) -> bool:
        """Keep this day from being closed until the transaction ends; False if it is closed already."""
        ...

    async def post(self, posted: Posted, accounts: Mapping[str, Account]) -> None:
        """Write entries and what they make of the accounts, which are as they were locked.

        What is left on accounts that are closed becomes work for those who pay it out.
        """
        ...

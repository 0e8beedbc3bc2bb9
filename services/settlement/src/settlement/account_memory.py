"""The accounts and what identity has told, in memory: the double of `PostgresProjectionRepository` for unit tests.

The contract suite runs the same tests on both, so it refuses and forgets as the tables do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from kit.testing import MemoryInbox, MemoryOutbox
from settlement.domain.accounts import Account, AccountChange, Contribution, Insured, StatementLine
from settlement.domain.ledger import AccountKind, EntryRow, MovedAccountError, versions_before
from settlement.domain.projection import Enrolled, InstitutionTold, PersonKnown, newest_institutions


class MemoryAccounts:
    """See `settlement.projection_repository.ProjectionRepository`. Use with `kit.testing.MemoryWork`."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.changes: list[AccountChange] = []
        self.contributions: dict[str, Contribution] = {}
        self.entries: list[EntryRow] = []
        self.closed_days: set[date] = set()
        self.persons: dict[str, PersonKnown] = {}
        self.institutions: dict[str, InstitutionTold] = {}
        self.outbox = MemoryOutbox("settlement")
        self.inbox = MemoryInbox()

    async def find(self, psn_no: str) -> Account | None:
        """See `AccountRepository.find`."""
        return self.accounts.get(psn_no)

    async def lock(self, psn_nos: Sequence[str]) -> list[Account]:
        """See `AccountRepository.lock`."""
        return [self.accounts[psn_no] for psn_no in sorted(set(psn_nos)) if psn_no in self.accounts]

    async def add(self, account: Account) -> bool:
        """See `AccountRepository.add`."""
        return self.accounts.setdefault(account.psn_no, account) is account

    async def save(self, accounts: Sequence[Account]) -> None:
        """See `AccountRepository.save`."""
        for account in accounts:
            now = self.accounts[account.psn_no]
            if now.version >= account.version:
                raise MovedAccountError(f"the account is at version {now.version}")
            self.accounts[account.psn_no] = replace(account, held_fen=now.held_fen)

    async def add_changes(self, changes: Sequence[AccountChange]) -> None:
        """See `AccountRepository.add_changes`."""
        self.changes.extend(changes)

    async def insured(self, psn_no: str, day: date) -> Insured | None:
        """See `AccountRepository.insured`."""
        person = self.persons.get(psn_no)
        if person is None:
            return None
        enrolled = _in_force(person, day)
        if enrolled is None:
            return Insured(None, None, person.died_on)
        return Insured(enrolled.insutype, enrolled.psn_insu_stas, person.died_on)

    async def died_on(self, psn_no: str) -> date | None:
        """See `AccountRepository.died_on`."""
        person = self.persons.get(psn_no)
        return person.died_on if person else None

    async def contribution(self, contribution_id: str) -> Contribution | None:
        """See `AccountRepository.contribution`."""
        return self.contributions.get(contribution_id)

    async def claim(self, contribution: Contribution) -> bool:
        """See `AccountRepository.claim`."""
        return self.contributions.setdefault(contribution.contribution_id, contribution) is contribution

    async def post(self, rows: Sequence[EntryRow], accounts: Sequence[Account]) -> None:
        """See `AccountRepository.post`."""
        check_unmoved(rows, self.accounts)
        self.entries.extend(rows)
        await self.save(accounts)

    async def hold_day(self, day: date) -> bool:
        """See `AccountRepository.hold_day`."""
        return day not in self.closed_days

    async def statement(self, psn_no: str, before_version: int | None, limit: int) -> list[StatementLine]:
        """See `AccountRepository.statement`."""
        lines = [
            statement_line(row)
            for row in self.entries
            if (row.account_kind, row.account_key) == (AccountKind.PERSONAL, psn_no)
            and (before_version is None or (row.version or 0) < before_version)
        ]
        return sorted(lines, key=lambda line: -line.version)[:limit]

    async def people(self, first: Sequence[PersonKnown]) -> dict[str, PersonKnown]:
        """See `ProjectionRepository.people`."""
        return {person.psn_no: self.persons.setdefault(person.psn_no, person) for person in first}

    async def save_people(self, people: Sequence[PersonKnown]) -> None:
        """See `ProjectionRepository.save_people`."""
        self.persons.update({person.psn_no: person for person in people})

    async def save_institutions(self, told: Sequence[InstitutionTold]) -> None:
        """See `ProjectionRepository.save_institutions`."""
        for one in newest_institutions([*self.institutions.values(), *told]):
            self.institutions[one.fixmedins_code] = one


def check_unmoved(rows: Sequence[EntryRow], accounts: Mapping[str, Account]) -> None:
    """Refuse what the database would: entries that go on from elsewhere than where their account is."""
    for psn_no, version in versions_before(rows).items():
        if accounts[psn_no].version != version:
            raise MovedAccountError(
                f"an account is at version {accounts[psn_no].version}, its entries follow {version}"
            )


def _in_force(person: PersonKnown, day: date) -> Enrolled | None:
    begun = [enrolled for enrolled in person.enrolments if enrolled.valid_from <= day]
    if begun and (begun[-1].valid_to is None or begun[-1].valid_to >= day):
        return begun[-1]
    return None


def statement_line(row: EntryRow) -> StatementLine:
    """An entry as its owner reads it."""
    occasion = row.occasion
    return StatementLine(
        version=row.version or 0,
        kind=occasion.kind,
        amount_fen=row.amount_fen,
        balance_after_fen=row.balance_after_fen or 0,
        posted_at=occasion.posted_at,
        reference=str(occasion.settlement_id or occasion.contribution_id or row.posting_id),
        patient_psn_no=occasion.patient_psn_no or "",
        fixmedins_code=occasion.fixmedins_code or "",
    )

"""Rows of personal accounts ⇄ the domain. Locks are taken in the order person, account, contribution."""

from collections.abc import Sequence
from datetime import date
from typing import Final, Protocol

import asyncpg

from kit.db import Transaction
from kit.outbox import Outbox, PostgresOutbox
from settlement.domain.accounts import (
    Account,
    AccountChange,
    AccountState,
    Contribution,
    ContributionKind,
    Insured,
    StatementLine,
)
from settlement.domain.ledger import EntryKind, EntryRow, MovedAccountError, Occasion, versions_before

SERVICE: Final = "settlement"

_ACCOUNT = "SELECT psn_no, state, balance_fen, held_fen, version FROM account WHERE psn_no = $1"
_LOCK_ACCOUNTS = """
SELECT psn_no, state, balance_fen, held_fen, version FROM account
WHERE psn_no = ANY($1::text[]) ORDER BY psn_no FOR UPDATE
"""
_ADD_ACCOUNT = """
INSERT INTO account (psn_no, state, balance_fen, held_fen, version) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING true
"""
_SAVE_ACCOUNTS = """
UPDATE account AS a
SET state = n.state, balance_fen = n.balance_fen, version = n.version, updated_at = clock_timestamp()
FROM unnest($1::new_standing[]) AS n WHERE a.psn_no = n.psn_no AND a.version < n.version
"""
_ADD_CHANGES = """
INSERT INTO account_change (psn_no, version, change, reason, changed_at, authority, changed_by)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
"""
# Shared: a death that is being recorded is waited for, and one that comes later finds the account that was opened.
_INSURED = """
SELECT p.died_on, e.insutype, e.psn_insu_stas
FROM person_fact AS p
LEFT JOIN LATERAL (
    SELECT insutype, psn_insu_stas, valid_to FROM person_enrolment
    WHERE psn_no = p.psn_no AND valid_from <= $2 ORDER BY valid_from DESC LIMIT 1
) AS e ON e.valid_to IS NULL OR e.valid_to >= $2
WHERE p.psn_no = $1 FOR SHARE OF p
"""
_DIED_ON = "SELECT died_on FROM person_fact WHERE psn_no = $1"
_CONTRIBUTION = """
SELECT contribution_id, psn_no, amount_fen, balance_after_fen, body_hash, kind FROM contribution
WHERE contribution_id = $1
"""
_CLAIM_CONTRIBUTION = """
INSERT INTO contribution (contribution_id, psn_no, amount_fen, balance_after_fen, body_hash, kind)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true
"""
_ENTRY_COLUMNS = """posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
    settlement_id, contribution_id, patient_psn_no, fixmedins_code, posted_at, business_day"""
# No index spans the months of the ledger. That an account has each version once is held here: one that is not where its
# entries go on from is given a version that none may have, which ends the statement and the transaction.
_POST = f"""
WITH changed AS (
    UPDATE account AS a
    SET state = n.state, balance_fen = n.balance_fen, updated_at = clock_timestamp(),
        version = CASE a.version WHEN n.version_before THEN n.version ELSE -1 END
    FROM unnest($2::new_step[]) AS n WHERE a.psn_no = n.psn_no
)
INSERT INTO entry ({_ENTRY_COLUMNS})
SELECT {_ENTRY_COLUMNS} FROM unnest($1::new_entry[]) WITH ORDINALITY AS e ({_ENTRY_COLUMNS}, place) ORDER BY place
"""  # noqa: S608 - constants of this file
_VERSION_CHECK = "account_version_check"
_OPEN_DAY = "INSERT INTO business_day (day) VALUES ($1) ON CONFLICT DO NOTHING"
_HOLD_DAY = "SELECT state = 'OPEN' FROM business_day WHERE day = $1 FOR SHARE"
_STATEMENT = """
SELECT version, entry_kind, amount_fen, balance_after_fen, posted_at,
       coalesce(settlement_id::text, contribution_id, posting_id::text) AS reference,
       coalesce(patient_psn_no, '') AS patient_psn_no, coalesce(fixmedins_code, '') AS fixmedins_code
FROM entry
WHERE account_kind = 'PERSONAL' AND account_key = $1 AND ($2::bigint IS NULL OR version < $2)
ORDER BY version DESC LIMIT $3
"""


class AccountRepository(Protocol):
    """The accounts, in one unit of work."""

    @property
    def outbox(self) -> Outbox:
        """Where the accounts' events are stated, after the accounts are locked."""
        ...

    async def find(self, psn_no: str) -> Account | None:
        """The account as committed."""
        ...

    async def lock(self, psn_nos: Sequence[str]) -> list[Account]:
        """Those of these accounts that exist, locked in the order of psn_no."""
        ...

    async def add(self, account: Account) -> bool:
        """Open it; False if it exists."""
        ...

    async def save(self, accounts: Sequence[Account]) -> None:
        """Write state and version of locked accounts.

        Raises:
            MovedAccountError: one has come as far meanwhile, so it was not locked.
        """
        ...

    async def post(self, rows: Sequence[EntryRow], accounts: Sequence[Account]) -> None:
        """Write whole postings, and the locked accounts as they are after them.

        Raises:
            MovedAccountError: an account is not where these entries go on from, so it was not locked.
        """
        ...

    async def add_changes(self, changes: Sequence[AccountChange]) -> None:
        """Record changes of state."""
        ...

    async def insured(self, psn_no: str, day: date) -> Insured | None:
        """What is known of a person on a day, held still until the unit of work ends; None if nothing."""
        ...

    async def died_on(self, psn_no: str) -> date | None:
        """The day of death, or None."""
        ...

    async def contribution(self, contribution_id: str) -> Contribution | None:
        """The contribution of that id."""
        ...

    async def claim(self, contribution: Contribution) -> bool:
        """Record a contribution; False if its id is taken, after waiting for whoever is taking it."""
        ...

    async def hold_day(self, day: date) -> bool:
        """Keep a business day from being closed until the unit of work ends; False if it is closed."""
        ...

    async def statement(self, psn_no: str, before_version: int | None, limit: int) -> list[StatementLine]:
        """At most `limit` entries below that version, newest first."""
        ...


class PostgresAccountRepository:
    """The accounts in one transaction. See `AccountRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw
        self.outbox = PostgresOutbox(transaction, SERVICE)

    async def find(self, psn_no: str) -> Account | None:
        """See `AccountRepository.find`."""
        row = await self._raw.fetchrow(_ACCOUNT, psn_no)
        return _account(row) if row else None

    async def lock(self, psn_nos: Sequence[str]) -> list[Account]:
        """See `AccountRepository.lock`."""
        return [_account(row) for row in await self._raw.fetch(_LOCK_ACCOUNTS, list(psn_nos))]

    async def add(self, account: Account) -> bool:
        """See `AccountRepository.add`."""
        values = (account.psn_no, account.state, account.balance_fen, account.held_fen, account.version)
        return await self._raw.fetchval(_ADD_ACCOUNT, *values) is True

    async def save(self, accounts: Sequence[Account]) -> None:
        """See `AccountRepository.save`."""
        status = await self._raw.execute(_SAVE_ACCOUNTS, [_standing_row(each) for each in accounts])
        if status != f"UPDATE {len(accounts)}":
            raise MovedAccountError(f"{len(accounts)} accounts were to change, the database said {status}")

    async def post(self, rows: Sequence[EntryRow], accounts: Sequence[Account]) -> None:
        """See `AccountRepository.post`."""
        before = versions_before(rows)
        steps = [(*_standing_row(account), before[account.psn_no]) for account in accounts]
        try:
            await self._raw.execute(_POST, entry_rows(rows), steps)
        except asyncpg.CheckViolationError as error:
            if error.constraint_name == _VERSION_CHECK:
                raise MovedAccountError("an account is not where its entries go on from") from error
            raise

    async def add_changes(self, changes: Sequence[AccountChange]) -> None:
        """See `AccountRepository.add_changes`."""
        await self._raw.execute(
            _ADD_CHANGES,
            [change.psn_no for change in changes],
            [change.version for change in changes],
            [change.kind for change in changes],
            [change.reason for change in changes],
            [change.changed_at for change in changes],
            [change.authority for change in changes],
            [change.changed_by for change in changes],
        )

    async def insured(self, psn_no: str, day: date) -> Insured | None:
        """See `AccountRepository.insured`."""
        row = await self._raw.fetchrow(_INSURED, psn_no, day)
        return Insured(row["insutype"], row["psn_insu_stas"], row["died_on"]) if row else None

    async def died_on(self, psn_no: str) -> date | None:
        """See `AccountRepository.died_on`."""
        died_on: date | None = await self._raw.fetchval(_DIED_ON, psn_no)
        return died_on

    async def contribution(self, contribution_id: str) -> Contribution | None:
        """See `AccountRepository.contribution`."""
        row = await self._raw.fetchrow(_CONTRIBUTION, contribution_id)
        return contribution_of(row) if row else None

    async def claim(self, contribution: Contribution) -> bool:
        """See `AccountRepository.claim`."""
        claimed = await self._raw.fetchval(
            _CLAIM_CONTRIBUTION,
            contribution.contribution_id,
            contribution.psn_no,
            contribution.amount_fen,
            contribution.balance_after_fen,
            contribution.body_hash,
            contribution.kind,
        )
        return claimed is True

    async def hold_day(self, day: date) -> bool:
        """See `AccountRepository.hold_day`."""
        if (is_open := await self._raw.fetchval(_HOLD_DAY, day)) is None:
            await self._raw.execute(_OPEN_DAY, day)
            is_open = await self._raw.fetchval(_HOLD_DAY, day)
        return is_open is True

    async def statement(self, psn_no: str, before_version: int | None, limit: int) -> list[StatementLine]:
        """See `AccountRepository.statement`."""
        return [statement_line(row) for row in await self._raw.fetch(_STATEMENT, psn_no, before_version, limit)]


def contribution_of(row: asyncpg.Record) -> Contribution:
    """A row of `contribution`."""
    return Contribution(**{**dict(row), "kind": ContributionKind(row["kind"])})


def entry_rows(rows: Sequence[EntryRow]) -> list[tuple[object, ...]]:
    """Of the type `new_entry`."""
    return [_entry_row(row, row.occasion) for row in rows]


def _entry_row(row: EntryRow, occasion: Occasion) -> tuple[object, ...]:
    return (
        row.posting_id,
        row.account_kind,
        row.account_key,
        row.amount_fen,
        row.balance_after_fen,
        row.version,
        occasion.kind,
        occasion.settlement_id,
        occasion.contribution_id,
        occasion.patient_psn_no,
        occasion.fixmedins_code,
        occasion.posted_at,
        occasion.business_day,
    )


def _standing_row(account: Account) -> tuple[object, ...]:
    return account.psn_no, account.state, account.balance_fen, account.version


def _account(row: asyncpg.Record) -> Account:
    return Account(row["psn_no"], AccountState(row["state"]), row["balance_fen"], row["held_fen"], row["version"])


def statement_line(row: asyncpg.Record) -> StatementLine:
    """A row of an entry as its owner reads it."""
    return StatementLine(
        version=row["version"],
        kind=EntryKind(row["entry_kind"]),
        amount_fen=row["amount_fen"],
        balance_after_fen=row["balance_after_fen"],
        posted_at=row["posted_at"],
        reference=row["reference"],
        patient_psn_no=row["patient_psn_no"],
        fixmedins_code=row["fixmedins_code"],
    )

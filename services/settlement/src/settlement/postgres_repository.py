"""`SettlementRepository` on PostgreSQL: asyncpg, one statement for a whole batch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from kit.db import Transaction
from settlement import settlement_rows as rows
from settlement import settlement_sql as sql
from settlement.account_repository import PostgresAccountRepository
from settlement.closing_repository import add_closed_refunds
from settlement.domain.accounts import Account, AccountState
from settlement.domain.closing import refunds_to_closed
from settlement.domain.ledger import Posted
from settlement.domain.state import Fingerprint, Intent, Settlement, SettlementState, intent_of
from settlement.listing import Place, bounds_of
from settlement.premium_repository import PostgresPremiumRepository
from settlement.quote_repository import PostgresQuoteRepository
from settlement.repository import Backlog, Lately, Locked, MsgKey, Projections, Reversal, Seen, Sought, Written


class LostSettlementError(Exception):
    """A locked settlement was not there to be updated; a fault in the code."""


class PostgresSettlementRepository:
    """Settlements, what they are judged by and what they move, in one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw
        self._accounts = PostgresAccountRepository(transaction)
        self.outbox = self._accounts.outbox
        self.quotes = PostgresQuoteRepository(transaction)
        self.premiums = PostgresPremiumRepository(transaction)

    async def real_time(self) -> datetime:
        """See `SettlementRepository.real_time`."""
        at: datetime = await self._raw.fetchval(sql.REAL_TIME)
        return at

    async def find_by_msgids(self, keys: Iterable[MsgKey]) -> dict[MsgKey, Settlement]:
        """See `SettlementRepository.find_by_msgids`."""
        found = await self._whole(await self._raw.fetch(sql.BY_MSGIDS, *_key_columns(keys)))
        return {(settlement.fixmedins_code, settlement.msgid): settlement for settlement in found}

    async def find_by_ids(self, ids: Iterable[UUID]) -> dict[UUID, Settlement]:
        """See `SettlementRepository.find_by_ids`."""
        return _by_id(await self._whole(await self._raw.fetch(sql.BY_IDS, list(ids))))

    async def of_day(self, fixmedins_code: str, day: date, after: Place, limit: int) -> list[Settlement]:
        """See `SettlementRepository.of_day`."""
        found = await self._raw.fetch(sql.OF_DAY, fixmedins_code, day, *bounds_of(day), *after, limit)
        ids = [row["id"] for row in found]
        settlements = await self.find_by_ids(ids)
        return [settlements[each] for each in ids]

    async def find_reversals(self, keys: Iterable[MsgKey]) -> dict[MsgKey, Reversal]:
        """See `SettlementRepository.find_reversals`."""
        found = [
            Reversal(
                fixmedins_code=row["fixmedins_code"],
                msgid=row["msgid"],
                settlement_id=row["settlement_id"],
                fingerprint=Fingerprint(row["hash_version"], bytes(row["body_hash"])),
                reason=row["reason"],
            )
            for row in await self._raw.fetch(sql.FIND_REVERSALS, *_key_columns(keys))
        ]
        return {reversal.key: reversal for reversal in found}

    async def projections(self, psn_nos: Iterable[str], fixmedins_codes: Iterable[str]) -> Projections:
        """See `SettlementRepository.projections`."""
        persons = await self._raw.fetch(sql.PERSONS, list(set(psn_nos)))
        institutions = await self._raw.fetch(sql.INSTITUTIONS, list(set(fixmedins_codes)))
        return Projections(rows.persons_of(persons), rows.institutions_of(institutions))

    async def bound_visits(self, jtis: Iterable[str]) -> dict[str, str]:
        """See `SettlementRepository.bound_visits`."""
        return {row["jti"]: row["mdtrt_id"] for row in await self._raw.fetch(sql.BOUND_VISITS, list(jtis))}

    async def look(self, sought: Sought, now: datetime) -> Seen:
        """See `SettlementRepository.look`."""
        codes, msgids = _key_columns(sought.keys)
        others = (list(sought.jtis), list(sought.psn_nos), list(sought.fixmedins_codes))
        row = await self._raw.fetchrow(sql.LOOK, codes, msgids, *others, now)
        if row is None:
            raise LostSettlementError("a statement that always answers did not")
        told = Projections(rows.persons_of(row["persons"]), rows.institutions_of(row["institutions"]))
        return Seen(row["known"], row["due"], dict(row["bound"]), told)

    async def add_intents(self, intents: Sequence[Intent]) -> dict[UUID, Written]:
        """See `SettlementRepository.add_intents`."""
        written = await self._raw.fetch(sql.ADD_INTENTS, rows.intent_rows(intents))
        return {settlement_id: Written(at, binds) for settlement_id, at, binds in written}

    async def withdraw_intents(self, ids: Sequence[UUID]) -> None:
        """See `SettlementRepository.withdraw_intents`."""
        await self._raw.execute(sql.WITHDRAW_INTENTS, list(ids))

    async def withdraw_fences(self, ids: Collection[UUID]) -> None:
        """See `SettlementRepository.withdraw_fences`."""
        await self._raw.execute(sql.WITHDRAW_FENCES, list(ids))

    async def lately(self, psn_nos: Iterable[str], written: Sequence[Intent] = ()) -> Lately:
        """See `SettlementRepository.lately`."""
        keys = _key_columns((each.order.fixmedins_code, each.order.msgid) for each in written)
        ids = [each.settlement_id for each in written]
        found = await self._raw.fetch(sql.RECENT, list(set(psn_nos)), ids, *keys)
        decided = rows.decided_of(row for row in found if row["psn_no"] is not None)
        return Lately(decided, {row["id"] for row in found if row["psn_no"] is None})

    async def lock_to_settle(self, ids: Iterable[UUID], psn_nos: Iterable[str], day: date) -> Locked:
        """See `SettlementRepository.lock_to_settle`."""
        row = await self._raw.fetchrow(sql.LOCK_TO_SETTLE, list(ids), list(psn_nos), day)
        if row is None:
            raise LostSettlementError("a statement that always answers did not")
        return Locked(set(row["pending"]), {each[0]: _account(*each) for each in row["accounts"]}, row["is_open"])

    async def lock(self, ids: Iterable[UUID]) -> dict[UUID, Settlement]:
        """See `SettlementRepository.lock`."""
        return _by_id(await self._whole(await self._raw.fetch(sql.LOCK, list(ids))))

    async def take_stale(self, age_seconds: float, limit: int) -> list[Settlement]:
        """See `SettlementRepository.take_stale`."""
        return [rows.settlement_of(row) for row in await self._raw.fetch(sql.TAKE_STALE, age_seconds, limit)]

    async def pending(self) -> Backlog:
        """See `SettlementRepository.pending`."""
        row = await self._raw.fetchrow(sql.PENDING)
        return Backlog(*row.values()) if row else Backlog(0, 0.0)

    async def save(self, settlements: Sequence[Settlement], business_day: date | None = None) -> None:
        """See `SettlementRepository.save`."""
        settled = rows.splits_of(each for each in settlements if each.state is SettlementState.SETTLED)
        saved = await self._raw.fetchval(
            sql.SAVE,
            business_day,
            rows.outcome_rows(settlements),
            rows.line_rows(settled),
            rows.decline_rows(settled),
            rows.refund_rows(each for each in settlements if each.state is SettlementState.REVERSED),
        )
        if saved != len(settlements):
            raise LostSettlementError(f"{len(settlements)} settlements were to change, the database changed {saved}")

    async def add_decided(self, settlements: Sequence[Settlement], business_day: date) -> None:
        """See `SettlementRepository.add_decided`."""
        if not settlements:
            return
        splits = rows.splits_of(settlements)
        await self._raw.execute(
            sql.ADD_DECIDED,
            rows.intent_rows(map(intent_of, settlements)),
            rows.outcome_rows(settlements),
            rows.line_rows(splits),
            rows.decline_rows(splits),
            business_day,
        )

    async def add_fences(self, fences: Sequence[Settlement]) -> set[UUID]:
        """See `SettlementRepository.add_fences`."""
        written = await self._raw.fetch(
            sql.ADD_FENCES,
            [fence.settlement_id for fence in fences],
            [fence.fixmedins_code for fence in fences],
            [fence.msgid for fence in fences],
            [fence.reason for fence in fences],
            [fence.occurred_at for fence in fences],
        )
        return {row["id"] for row in written}

    async def add_reversals(self, reversals: Sequence[Reversal]) -> None:
        """See `SettlementRepository.add_reversals`."""
        await self._raw.execute(
            sql.ADD_REVERSALS,
            [reversal.fixmedins_code for reversal in reversals],
            [reversal.msgid for reversal in reversals],
            [reversal.settlement_id for reversal in reversals],
            [reversal.fingerprint.version for reversal in reversals],
            [reversal.fingerprint.digest for reversal in reversals],
            [reversal.reason for reversal in reversals],
        )

    async def lock_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        """See `SettlementRepository.lock_accounts`."""
        return {account.psn_no: account for account in await self._accounts.lock(sorted(set(psn_nos)))}

    async def read_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        """See `SettlementRepository.read_accounts`."""
        found = await self._raw.fetch(sql.READ_ACCOUNTS, list(set(psn_nos)))
        return {row["psn_no"]: _account(*row) for row in found}

    async def hold_business_day(self, day: date) -> bool:
        """See `SettlementRepository.hold_business_day`."""
        return await self._accounts.hold_day(day)

    async def post(self, posted: Posted, accounts: Mapping[str, Account]) -> None:
        """See `SettlementRepository.post`."""
        if posted.rows:
            changed = [accounts[psn_no].after(standing) for psn_no, standing in posted.standings.items()]
            await self._accounts.post(posted.rows, changed)
        if refunds := refunds_to_closed(posted, accounts):
            await add_closed_refunds(self._raw, refunds)

    async def _whole(self, found: rows.Rows) -> list[Settlement]:
        """Settlements with all that belongs to them; what was never settled has nothing."""
        ids = [row["id"] for row in found if row["setl_time"] is not None]
        if not ids:
            return [rows.settlement_of(row) for row in found]
        lines = rows.by_settlement(await self._raw.fetch(sql.LINES, ids))
        declines = rows.by_settlement(await self._raw.fetch(sql.DECLINES, ids))
        refunds = rows.by_settlement(await self._raw.fetch(sql.REFUNDS, ids))
        return [
            rows.settlement_of(row, lines.get(row["id"], ()), declines.get(row["id"], ()), refunds.get(row["id"], ()))
            for row in found
        ]


def _account(psn_no: str, state: str, balance_fen: int, held_fen: int, version: int) -> Account:
    return Account(psn_no, AccountState(state), balance_fen, held_fen, version)


def _key_columns(keys: Iterable[MsgKey]) -> tuple[list[str], list[str]]:
    listed = list(keys)
    return [fixmedins_code for fixmedins_code, _ in listed], [msgid for _, msgid in listed]


def _by_id(settlements: Iterable[Settlement]) -> dict[UUID, Settlement]:
    return {settlement.settlement_id: settlement for settlement in settlements}

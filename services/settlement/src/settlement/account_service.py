"""Operations on personal accounts, one transaction each. Amounts are in fen."""

from datetime import date

from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.ids import uuid7
from settlement import account_codec as codec
from settlement.account_repository import AccountRepository
from settlement.domain.accounts import (
    Account,
    AccountChange,
    AccountChangeKind,
    AccountNotFoundError,
    Contribution,
    Instruction,
    StatementLine,
    check_creditable,
    freeze,
    open_account,
    repeated_answer,
    unfreeze,
)
from settlement.domain.contributing import Row, contribution_hash, posting_of
from settlement.domain.ledger import LedgerError, post
from settlement.domain.reasons import Reason, SettlementRefusedError

OPENING_REASON = "opened"


class AccountService:
    """What AccountService of the contract does."""

    def __init__(self, work: Work[AccountRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def open(self, psn_no: str) -> Account:
        """The account, opened if there was none (R1).

        Raises:
            NotEligibleError: the person is not known to be a living 310 member in normal standing today.
        """
        now = self._clock.now()
        async with self._work() as repository:
            if known := await repository.find(psn_no):
                return known
            account = open_account(psn_no, await repository.insured(psn_no, shanghai_date(now)))
            if await repository.add(account):
                opening = AccountChange(psn_no, account.version, AccountChangeKind.OPENED, OPENING_REASON, now)
                await repository.add_changes([opening])
                return account
            return await _found(repository, psn_no)  # somebody else opened it meanwhile

    async def contribute(self, row: Row) -> int:
        """Credit a contribution once; the balance after it in fen, repeated for the same id.

        Raises:
            ContributionReusedError: the id was used before with another body.
            AccountClosedError: the account is closed or was never opened.
        """
        body_hash = contribution_hash(row)
        async with self._work() as repository:
            if known := await repository.contribution(row.contribution_id):
                return repeated_answer(known, body_hash)
            found = await repository.lock([row.psn_no])
            account = check_creditable(found[0] if found else None)
            answer = account.balance_fen + row.amount_fen
            claimed = Contribution(row.contribution_id, row.psn_no, row.amount_fen, answer, body_hash, row.kind)
            if not await repository.claim(claimed):
                return await _answer_of_another(repository, row.contribution_id, body_hash)
            await self._credit(repository, account, row)
            return answer

    async def _credit(self, repository: AccountRepository, account: Account, row: Row) -> None:
        now = self._clock.now()
        posting = posting_of(row, uuid7(), now, shanghai_date(now))
        posted = post([posting], {account.psn_no: account.standing})
        await hold_open_day(repository, posting.occasion.business_day)
        await repository.post(posted.rows, [account.after(posted.standings[account.psn_no])])
        await repository.outbox.add([codec.credited(row) for row in posted.personal_rows])

    async def get(self, psn_no: str) -> Account:
        """The account.

        Raises:
            AccountNotFoundError: it was never opened.
        """
        async with self._work() as repository:
            return await _found(repository, psn_no)

    async def statement(self, psn_no: str, before_version: int | None, limit: int) -> list[StatementLine]:
        """At most `limit` entries below that version, newest first.

        Raises:
            AccountNotFoundError: the account was never opened.
        """
        async with self._work() as repository:
            await _found(repository, psn_no)
            return await repository.statement(psn_no, before_version, limit)

    async def freeze(self, psn_no: str, instruction: Instruction) -> Account:
        """The account, frozen: it gives nothing, refunds and contributions still arrive. Again changes nothing.

        Raises:
            AccountNotFoundError: it was never opened.
            StateForbidsError: it is closed.
        """
        async with self._work() as repository:
            account = await locked(repository, psn_no)
            after, change = freeze(account, instruction, self._clock.now())
            await keep(repository, after, change)
            return after

    async def unfreeze(self, psn_no: str, instruction: Instruction) -> Account:
        """The account, released. Again changes nothing.

        Raises:
            AccountNotFoundError: it was never opened.
            StateForbidsError: it is closed, or its owner has died (R14).
        """
        async with self._work() as repository:
            account = await locked(repository, psn_no)
            after, change = unfreeze(account, instruction, self._clock.now(), await repository.died_on(psn_no))
            await keep(repository, after, change)
            return after


async def hold_open_day(repository: AccountRepository, day: date) -> None:
    """Keep a business day from being closed until the unit of work ends.

    Raises:
        SettlementRefusedError: UNAVAILABLE, it is closed already.
    """
    if not await repository.hold_day(day):
        raise SettlementRefusedError(Reason.UNAVAILABLE, "today's business day is closed already: see to the clock")


async def _found(repository: AccountRepository, psn_no: str) -> Account:
    account = await repository.find(psn_no)
    if account is None:
        raise AccountNotFoundError("this person has no account")
    return account


async def locked(repository: AccountRepository, psn_no: str) -> Account:
    """The account, locked.

    Raises:
        AccountNotFoundError: it was never opened.
    """
    found = await repository.lock([psn_no])
    if not found:
        raise AccountNotFoundError("this person has no account")
    return found[0]


async def keep(repository: AccountRepository, after: Account, change: AccountChange | None) -> None:
    """Write and tell a change of state; nothing if there was none."""
    if change is not None:
        await repository.save([after])
        await repository.add_changes([change])
        await repository.outbox.add([codec.changed(after, change)])


async def _answer_of_another(repository: AccountRepository, contribution_id: str, body_hash: bytes) -> int:
    known = await repository.contribution(contribution_id)
    if known is None:
        raise LedgerError("a contribution's id is taken, yet there is no such contribution")
    return repeated_answer(known, body_hash)

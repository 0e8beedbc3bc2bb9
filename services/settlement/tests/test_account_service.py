"""AccountService of the contract on accounts in memory."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gongji.settlement.events.v1 import account_events_pb2 as events_pb2
from gongji.settlement.v1 import account_pb2
from kit.auth import Assertion, CallContext, Deadline, Principal, enter
from kit.clock import FixedClock
from kit.errors import InvalidFields, Refusal
from kit.testing import MemoryWork
from settlement.account_repository import AccountRepository
from settlement.account_service import AccountService
from settlement.account_servicer import AccountServicer
from settlement.closing_memory import MemoryClosing
from settlement.closing_repository import ClosingRepository
from settlement.closing_service import ClosingService
from settlement.contribution_memory import MemoryContributions
from settlement.contribution_repository import ContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import (
    Account,
    AccountClosedError,
    AccountNotFoundError,
    AccountState,
    ContributionReusedError,
    Instruction,
    NotEligibleError,
    StateForbidsError,
)
from settlement.domain.contributing import Row
from settlement.domain.ledger import AccountKind
from settlement.domain.projection import Enrolled, PersonKnown
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.visit import InsuranceStatus, InsuranceType
from settlement.statement_export import StatementExport
from settlement.statement_memory import MemoryStatements
from settlement.statement_printing import Printing
from settlement.statement_repository import StatementRepository
from settlement.statement_service import StatementService

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)


class Accounts(MemoryClosing, MemoryContributions):
    """All that AccountService keeps."""


class World:
    """Everything that a test asks, and the clock that it moves."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.clock = FixedClock(NOON)
        self.work = MemoryWork[AccountRepository](self.accounts)
        self.service = AccountService(self.work, self.clock)
        contributions = ContributionService(MemoryWork[ContributionRepository](self.accounts), self.clock)
        closing = ClosingService(MemoryWork[ClosingRepository](self.accounts), self.clock)
        statements = StatementService(MemoryWork[StatementRepository](MemoryStatements()))
        exports = StatementExport(statements, Printing(), self.clock)
        self.servicer = AccountServicer(self.service, contributions, closing, statements, exports)

    def insured(self, psn_no: str, valid_from: date = date(2020, 1, 1), **facts: Any) -> None:
        enrolled = Enrolled(
            psn_no=psn_no,
            sequence=1,
            as_of=NOON,
            valid_from=valid_from,
            valid_to=facts.get("valid_to"),
            insutype=facts.get("insutype", InsuranceType.EMPLOYEE),
            insuplc_admdvs="652701",
            psn_insu_stas=facts.get("psn_insu_stas", InsuranceStatus.NORMAL),
            arrears=False,
        )
        self.accounts.persons[psn_no] = PersonKnown(psn_no, 1, NOON, enrolments=(enrolled,))

    async def opened(self, psn_no: str = "father", balance_fen: int = 0) -> Account:
        self.insured(psn_no)
        await self.service.open(psn_no)
        if balance_fen:
            await self.service.contribute(Row(psn_no, f"first-{psn_no}", balance_fen))
        return self.accounts.accounts[psn_no]

    def told(self) -> list[tuple[str, int]]:
        return [(row.type.rpartition(".")[2], row.sequence or 0) for row in self.accounts.outbox.rows]


@pytest.fixture
def world() -> World:
    return World()


def call_as(principal: Principal, psn_no: str | None = None) -> None:
    assertion = (
        Assertion(f"psn:{psn_no}", frozenset({"citizen"}), psn_no, "gongji-portal", "j1", NOON) if psn_no else None
    )
    enter(CallContext("/test", principal, assertion, "r1", Deadline(5.0)))


async def test_opening_again_changes_nothing(world: World) -> None:
    first = await world.opened(balance_fen=500)
    assert await world.service.open("father") == first
    assert [change.kind for change in world.accounts.changes] == ["OPENED"]


async def test_an_account_stays_open_to_its_owner_after_the_insurance_ended(world: World) -> None:
    first = await world.opened()
    world.insured("father", psn_insu_stas=InsuranceStatus.ENDED)
    assert await world.service.open("father") == first


@pytest.mark.parametrize(
    "facts",
    [
        {"insutype": InsuranceType.RESIDENT},
        {"psn_insu_stas": InsuranceStatus.SUSPENDED},
        {"valid_from": date(2025, 3, 11)},
        {"valid_to": date(2025, 3, 9)},
    ],
)
async def test_only_who_is_normally_insured_under_310_today_gets_an_account(
    world: World, facts: dict[str, Any]
) -> None:
    world.insured("father", **facts)
    with pytest.raises(NotEligibleError):
        await world.service.open("father")
    assert not world.accounts.accounts


async def test_the_first_and_the_last_day_of_an_enrolment_count(world: World) -> None:
    world.insured("father", valid_from=date(2025, 3, 10), valid_to=date(2025, 3, 10))
    assert (await world.service.open("father")).state is AccountState.OPEN


async def test_somebody_of_whom_nothing_was_told_gets_no_account(world: World) -> None:
    with pytest.raises(NotEligibleError):
        await world.service.open("stranger")


async def test_a_contribution_is_a_posting_a_balance_and_an_event(world: World) -> None:
    await world.opened()
    assert await world.service.contribute(Row("father", "c1", 500)) == 500
    assert await world.service.contribute(Row("father", "c2", 250)) == 750
    assert world.accounts.accounts["father"].balance_fen == 750
    assert sum(row.amount_fen for row in world.accounts.entries) == 0
    assert world.told() == [("AccountCredited", 1), ("AccountCredited", 2)]
    event = world.accounts.outbox.messages[1]
    assert isinstance(event, events_pb2.AccountCredited)
    assert (event.amount_fen, event.balance_after_fen, event.contribution_id) == (250, 750, "c2")
    assert event.posted_at.ToDatetime(UTC) == NOON


async def test_a_contribution_repeated_gets_its_first_answer_and_credits_nothing(world: World) -> None:
    await world.opened()
    await world.service.contribute(Row("father", "c1", 500))
    await world.service.contribute(Row("father", "c2", 250))
    assert await world.service.contribute(Row("father", "c1", 500)) == 500
    assert world.accounts.accounts["father"].balance_fen == 750
    assert len(world.told()) == 2


async def test_a_repeated_contribution_is_answered_also_after_the_account_was_closed(world: World) -> None:
    account = await world.opened(balance_fen=500)
    world.accounts.accounts["father"] = Account("father", AccountState.CLOSED, 0, 0, account.version)
    assert await world.service.contribute(Row("father", "first-father", 500)) == 500


@pytest.mark.parametrize(("psn_no", "amount_fen"), [("father", 501), ("mother", 500)])
async def test_a_contribution_id_is_never_used_for_another_body(world: World, psn_no: str, amount_fen: int) -> None:
    await world.opened()
    await world.opened("mother")
    await world.service.contribute(Row("father", "c1", 500))
    with pytest.raises(ContributionReusedError):
        await world.service.contribute(Row(psn_no, "c1", amount_fen))
    assert world.accounts.accounts["mother"].balance_fen == 0


async def test_a_contribution_needs_an_account(world: World) -> None:
    with pytest.raises(AccountClosedError):
        await world.service.contribute(Row("stranger", "c1", 500))
    assert not world.accounts.contributions


async def test_a_contribution_that_cannot_be_posted_leaves_no_trace(world: World) -> None:
    await world.opened()
    world.work.fail_next_commit(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await world.service.contribute(Row("father", "c1", 500))
    assert (world.accounts.accounts["father"].balance_fen, world.told()) == (0, [])
    assert await world.service.contribute(Row("father", "c1", 500)) == 500


async def test_a_contribution_belongs_to_the_day_in_shanghai(world: World) -> None:
    await world.opened()
    world.clock.set(datetime(2025, 3, 10, 16, 30, tzinfo=UTC))
    await world.service.contribute(Row("father", "c1", 500))
    assert world.accounts.entries[0].occasion.business_day == date(2025, 3, 11)


async def test_nothing_is_posted_on_a_day_that_is_closed(world: World) -> None:
    await world.opened()
    world.accounts.closed_days.add(date(2025, 3, 10))
    with pytest.raises(SettlementRefusedError) as refused:
        await world.service.contribute(Row("father", "c1", 500))
    assert refused.value.reason == "UNAVAILABLE"
    assert (world.accounts.entries, world.accounts.contributions) == ([], {})


async def test_freezing_and_releasing_are_events_in_one_sequence_with_the_money(world: World) -> None:
    await world.opened(balance_fen=500)
    await world.service.freeze("father", Instruction("court order 7"))
    await world.service.contribute(Row("father", "c2", 100))
    await world.service.unfreeze("father", Instruction("order lifted"))
    await world.service.unfreeze("father", Instruction("again"))
    assert world.told() == [
        ("AccountCredited", 1),
        ("AccountFrozen", 2),
        ("AccountCredited", 3),
        ("AccountUnfrozen", 4),
    ]
    frozen = world.accounts.outbox.messages[1]
    assert isinstance(frozen, events_pb2.AccountFrozen)
    assert (frozen.balance_after_fen, frozen.reason) == (500, "court order 7")
    assert world.accounts.accounts["father"].version == 4
    changes = [(change.version, change.kind, change.reason) for change in world.accounts.changes]
    assert changes == [(0, "OPENED", "opened"), (2, "FROZEN", "court order 7"), (4, "UNFROZEN", "order lifted")]


async def test_what_was_never_opened_is_not_found(world: World) -> None:
    for attempt in (
        world.service.get("stranger"),
        world.service.statement("stranger", None, 10),
        world.service.freeze("stranger", Instruction("x")),
        world.service.unfreeze("stranger", Instruction("x")),
    ):
        with pytest.raises(AccountNotFoundError):
            await attempt


async def test_the_account_of_the_dead_stays_frozen(world: World) -> None:
    await world.opened()
    await world.service.freeze("father", Instruction("x"))
    world.accounts.persons["father"] = PersonKnown("father", 2, NOON, date(2025, 3, 9), 2)
    with pytest.raises(StateForbidsError):
        await world.service.unfreeze("father", Instruction("x"))


async def test_the_statement_pages_from_the_newest_to_the_oldest_without_repeats(world: World) -> None:
    await world.opened()
    call_as(Principal("service", "operator"))
    for number in range(5):
        world.clock.advance(timedelta(minutes=1))
        await world.service.contribute(Row("father", f"c{number}", 100))
    seen, token = list[str](), ""
    for _ in range(3):
        request = account_pb2.ListEntriesRequest(psn_no="father", page_size=2, page_token=token)
        answer = await world.servicer.ListEntries(request, None)
        seen += [entry.reference for entry in answer.entries]
        token = answer.next_page_token
    assert (seen, token) == (["c4", "c3", "c2", "c1", "c0"], "")


async def test_an_entry_shows_the_balance_after_it(world: World) -> None:
    await world.opened(balance_fen=500)
    call_as(Principal("service", "operator"))
    await world.service.contribute(Row("father", "c2", 250))
    entry = (await world.servicer.ListEntries(account_pb2.ListEntriesRequest(psn_no="father"), None)).entries[0]
    assert (entry.version, entry.amount, entry.balance_after) == (2, 250, 750)
    assert entry.kind == account_pb2.ENTRY_KIND_CONTRIBUTION
    assert (entry.posted_at.ToDatetime(UTC), entry.patient_psn_no, entry.fixmedins_code) == (NOON, "", "")


@pytest.mark.parametrize("token", ["!", "AAAA", "LTE=", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=", "MTI", "٣"])
async def test_a_page_token_that_was_not_given_is_refused(world: World, token: str) -> None:
    await world.opened()
    call_as(Principal("service", "operator"))
    with pytest.raises(InvalidFields, match="page_token"):
        await world.servicer.ListEntries(account_pb2.ListEntriesRequest(psn_no="father", page_token=token), None)


async def test_the_owner_sees_the_account_and_nobody_else_does(world: World) -> None:
    await world.opened(balance_fen=500)
    call_as(Principal("service", "portal"), "father")
    answer = await world.servicer.GetAccount(account_pb2.GetAccountRequest(psn_no="father"), None)
    assert answer.account == account_pb2.Account(
        psn_no="father", state=account_pb2.ACCOUNT_STATE_OPEN, balance=500, held=0, version=1
    )
    call_as(Principal("service", "portal"), "neighbour")
    with pytest.raises(Refusal) as refused:
        await world.servicer.GetAccount(account_pb2.GetAccountRequest(psn_no="father"), None)
    assert refused.value.reason == "FORBIDDEN"
    with pytest.raises(Refusal):
        await world.servicer.ListEntries(account_pb2.ListEntriesRequest(psn_no="father"), None)


async def test_the_contract_answers_as_the_service_does(world: World) -> None:
    world.insured("father")
    opened = await world.servicer.OpenAccount(account_pb2.OpenAccountRequest(psn_no="father"), None)
    assert opened.account.state == account_pb2.ACCOUNT_STATE_OPEN
    credited = await world.servicer.RecordContribution(
        account_pb2.RecordContributionRequest(psn_no="father", contribution_id="c1", amount=500), None
    )
    assert credited.balance_after == 500
    call_as(Principal("service", "operator"))
    frozen = await world.servicer.FreezeAccount(
        account_pb2.FreezeAccountRequest(psn_no="father", reason="x", authority="court"), None
    )
    assert (frozen.account.state, frozen.account.version) == (account_pb2.ACCOUNT_STATE_FROZEN, 2)
    released = await world.servicer.UnfreezeAccount(
        account_pb2.UnfreezeAccountRequest(psn_no="father", reason="x", authority="court"), None
    )
    assert (released.account.state, released.account.version) == (account_pb2.ACCOUNT_STATE_OPEN, 3)


async def test_who_froze_and_released_an_account_and_on_whose_authority_is_kept_and_told(world: World) -> None:
    await world.opened(balance_fen=500)
    clerk = Assertion("clerk:wang", frozenset({"operator"}), None, "gongji-portal", "j1", NOON)
    enter(CallContext("/test", Principal("service", "portal"), clerk, "r1", Deadline(5.0)))
    await world.servicer.FreezeAccount(
        account_pb2.FreezeAccountRequest(psn_no="father", reason="inquiry", authority="court of Bole, order 7"), None
    )
    call_as(Principal("service", "operator"))
    await world.servicer.UnfreezeAccount(
        account_pb2.UnfreezeAccountRequest(psn_no="father", reason="lifted", authority="court of Bole, order 9"), None
    )
    changes = [(each.kind, each.reason, each.authority, each.changed_by) for each in world.accounts.changes]
    assert changes[1:] == [
        ("FROZEN", "inquiry", "court of Bole, order 7", "service/portal clerk:wang"),
        ("UNFROZEN", "lifted", "court of Bole, order 9", "service/operator"),
    ]
    frozen, released = world.accounts.outbox.messages[1:]
    assert isinstance(frozen, events_pb2.AccountFrozen)
    assert (frozen.reason, frozen.authority) == ("inquiry", "court of Bole, order 7")
    assert isinstance(released, events_pb2.AccountUnfrozen)
    assert (released.reason, released.authority) == ("lifted", "court of Bole, order 9")


async def test_only_personal_entries_are_on_a_statement(world: World) -> None:
    await world.opened(balance_fen=500)
    kinds = [row.account_kind for row in world.accounts.entries]
    assert kinds == [AccountKind.CONTRIBUTION, AccountKind.PERSONAL]
    assert len(await world.service.statement("father", None, 10)) == 1

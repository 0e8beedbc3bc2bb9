"""PremiumService as its callers see it: for whom they may act, and what they read in the answers."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import premium_pb2 as pb2
from gongji.settlement.v1 import settlement_pb2
from kit.auth import Assertion, CallContext, Deadline, Principal, enter
from kit.auth.call import _current
from kit.errors import InvalidFields, Refusal
from kit.testing import MemoryWork
from settlement import premium_codec as codec
from settlement.access import ACCESS, PREMIUMS
from settlement.domain.premiums import Terms
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Settlement
from settlement.domain.visit import EnrolmentFact, PersonFacts
from settlement.memory import MemorySettlements
from settlement.premium_servicer import PremiumServicer
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, account, bill, enrolment, settle

CONTEXT: Any = None
PORTAL, OPERATOR = Principal("service", "portal"), Principal("service", "operator")


@pytest.fixture
def memory() -> MemorySettlements:
    memory = MemorySettlements()
    for name in ("father", "mother"):
        memory.accounts[name] = account(name, 100_000)
    for name in ("child", "baby"):
        memory.persons[name] = PersonFacts(enrolments=(EnrolmentFact(enrolment(), TEN_O_CLOCK),))
    memory.premiums.stated.append((Terms(2026, 40_000, date(2025, 6, 1), date(2025, 9, 30)), "operator", TEN_O_CLOCK))
    return memory


@pytest.fixture
def world(memory: MemorySettlements) -> World:
    pairs = [("father", "child"), ("mother", "child"), ("father", "baby")]
    return World(
        MemoryWork(memory), *(FakeRelation(*pair, 39_999 if pair[0] == "mother" else 50_000) for pair in pairs)
    )


@pytest.fixture
def servicer(world: World) -> PremiumServicer:
    return PremiumServicer(world.pipeline.premiums)


@pytest.fixture
def acting() -> Iterator[Callable[..., None]]:
    """Lets somebody call: a person by number and role, or with no name the operators' console."""
    before = _current.get()

    def act(psn_no: str | None, role: str = "citizen") -> None:
        subject = f"psn:{psn_no}" if role == "citizen" else f"clerk:{psn_no}"
        own = psn_no if role == "citizen" else None
        until = datetime(2025, 6, 11, tzinfo=UTC)
        assertion = Assertion(subject, frozenset({role}), own, "issuer", "j1", until) if psn_no else None
        enter(CallContext("/x", PORTAL if psn_no else OPERATOR, assertion, "r", Deadline(10)))

    yield act
    _current.set(before)


def request(payer: str = "father", **changes: Any) -> pb2.PayPremiumRequest:
    usual = {"payment_id": str(uuid4()), "payer_psn_no": payer, "insured_psn_no": "child", "year": 2026}
    return pb2.PayPremiumRequest(**{**usual, **changes})


async def reason(call: Any) -> str:
    with pytest.raises((SettlementRefusedError, Refusal)) as caught:
        await call
    return str(getattr(caught.value, "reason", ""))


async def test_a_payment_is_told_in_full(servicer: PremiumServicer, acting: Callable[..., None]) -> None:
    acting("father")
    asked = request(payment_id=str(uuid4()).upper())
    premium = (await servicer.PayPremium(asked, CONTEXT)).premium
    assert premium.state == settlement_pb2.SETTLEMENT_STATE_SETTLED
    assert premium.payment_id == asked.payment_id.lower()
    assert (premium.payer_psn_no, premium.insured_psn_no, premium.year) == ("father", "child", 2026)
    assert (premium.amount, premium.balance_after) == (40_000, 60_000)
    assert premium.relation_id == str(FakeRelation("father", "child", 0).id)
    assert premium.paid_at == premium.occurred_at
    assert not premium.HasField("refunded_at")
    assert not premium.HasField("balance_after_refund")
    by_id = pb2.GetPremiumRequest(premium_id=premium.premium_id)
    by_payment = pb2.GetPremiumRequest(payment_id=asked.payment_id)
    for asking in (by_id, by_payment):
        assert (await servicer.GetPremium(asking, CONTEXT)).premium == premium
    refund = pb2.RefundPremiumRequest(request_id=str(uuid4()), premium_id=premium.premium_id)
    refunded = (await servicer.RefundPremium(refund, CONTEXT)).premium
    assert refunded.state == settlement_pb2.SETTLEMENT_STATE_REVERSED
    assert (refunded.balance_after_refund, refunded.HasField("refunded_at")) == (100_000, True)


@pytest.mark.parametrize("somebody", ["mother", "child", "stranger"])
async def test_nobody_pays_from_anothers_account(
    servicer: PremiumServicer, memory: MemorySettlements, acting: Callable[..., None], somebody: str
) -> None:
    acting(somebody)
    assert await reason(servicer.PayPremium(request("father"), CONTEXT)) == "FORBIDDEN"
    assert memory.settlements == {}


async def test_a_refusal_that_left_a_trace_is_told_with_its_window(
    servicer: PremiumServicer, acting: Callable[..., None]
) -> None:
    acting("mother")
    asked = request("mother")
    assert await reason(servicer.PayPremium(asked, CONTEXT)) == "LIMIT_REACHED"
    got = await servicer.GetPremium(pb2.GetPremiumRequest(payment_id=asked.payment_id), CONTEXT)
    assert got.premium.state == settlement_pb2.SETTLEMENT_STATE_REFUSED
    assert got.premium.reason == reason_pb2.REASON_LIMIT_REACHED
    assert got.premium.window == settlement_pb2.LIMIT_WINDOW_TOTAL
    assert not got.premium.HasField("balance_after")


async def test_a_stranger_neither_reads_nor_lists_nor_has_given_back(
    servicer: PremiumServicer, acting: Callable[..., None]
) -> None:
    acting("father")
    premium_id = (await servicer.PayPremium(request(), CONTEXT)).premium.premium_id
    for somebody in ("mother", "stranger", ""):
        acting(somebody or "nobody-registered-yet", "citizen")
        get = pb2.GetPremiumRequest(premium_id=premium_id)
        assert await reason(servicer.GetPremium(get, CONTEXT)) == "FORBIDDEN"
        refund = pb2.RefundPremiumRequest(request_id=str(uuid4()), premium_id=premium_id)
        assert await reason(servicer.RefundPremium(refund, CONTEXT)) == "FORBIDDEN"
        listed = pb2.ListPremiumsRequest(psn_no="father")
        assert await reason(servicer.ListPremiums(listed, CONTEXT)) == "FORBIDDEN"


async def test_the_insured_reads_it_and_an_operator_sees_to_anybodys(
    servicer: PremiumServicer, acting: Callable[..., None]
) -> None:
    acting("father")
    premium = (await servicer.PayPremium(request(), CONTEXT)).premium
    get = pb2.GetPremiumRequest(premium_id=premium.premium_id)
    acting("child")
    assert (await servicer.GetPremium(get, CONTEXT)).premium == premium
    for operator in (None, "clerk"):
        acting(operator, "operator")
        assert (await servicer.GetPremium(get, CONTEXT)).premium == premium
        listed = await servicer.ListPremiums(pb2.ListPremiumsRequest(psn_no="child"), CONTEXT)
        assert list(listed.premiums) == [premium]
    refund = pb2.RefundPremiumRequest(request_id=str(uuid4()), premium_id=premium.premium_id)
    refunded = (await servicer.RefundPremium(refund, CONTEXT)).premium
    assert refunded.state == settlement_pb2.SETTLEMENT_STATE_REVERSED


async def test_payments_are_listed_in_pages(servicer: PremiumServicer, acting: Callable[..., None]) -> None:
    acting("father")
    paid = [(await servicer.PayPremium(request(insured_psn_no=each), CONTEXT)).premium for each in ("child", "baby")]
    first = await servicer.ListPremiums(pb2.ListPremiumsRequest(psn_no="father", page_size=1), CONTEXT)
    assert list(first.premiums) == paid[1:]
    assert first.next_page_token
    rest = pb2.ListPremiumsRequest(psn_no="father", page_size=1, page_token=first.next_page_token)
    second = await servicer.ListPremiums(rest, CONTEXT)
    assert (list(second.premiums), second.next_page_token) == (paid[:1], "")
    of_another_year = await servicer.ListPremiums(pb2.ListPremiumsRequest(psn_no="father", year=2027), CONTEXT)
    assert list(of_another_year.premiums) == []


@pytest.mark.parametrize("token", ["?", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "é"])
async def test_a_token_of_nobody_is_refused_by_its_field(
    servicer: PremiumServicer, acting: Callable[..., None], token: str
) -> None:
    acting("father")
    with pytest.raises(InvalidFields, match="page_token"):
        await servicer.ListPremiums(pb2.ListPremiumsRequest(psn_no="father", page_token=token), CONTEXT)


async def test_an_operator_states_a_premium_and_the_last_word_holds(
    servicer: PremiumServicer, memory: MemorySettlements, acting: Callable[..., None]
) -> None:
    acting("wang", "operator")
    stated: dict[str, Any] = {"year": 2027, "amount": 42_000, "collect_from": "2026-09-01", "collect_to": "2027-02-28"}
    answer = await servicer.SetPremium(pb2.SetPremiumRequest(request_id=str(uuid4()), **stated), CONTEXT)
    assert answer.terms == pb2.PremiumTerms(**stated)
    acting("father")
    got = await servicer.GetPremiumTerms(pb2.GetPremiumTermsRequest(year=2027), CONTEXT)
    assert got.terms == answer.terms
    assert await reason(servicer.GetPremiumTerms(pb2.GetPremiumTermsRequest(year=2028), CONTEXT)) == "NOT_FOUND"
    assert memory.premiums.stated[-1][1] == "service/portal clerk:wang"


@pytest.mark.parametrize("field", ["collect_from", "collect_to"])
async def test_a_day_that_there_is_not_is_refused_by_its_field(
    servicer: PremiumServicer, acting: Callable[..., None], field: str
) -> None:
    acting(None)
    usual: dict[str, Any] = {"year": 2026, "amount": 1, "collect_from": "2025-09-01", "collect_to": "2025-12-31"}
    stated = {**usual, field: "2025-11-31"}
    with pytest.raises(InvalidFields, match=field):
        await servicer.SetPremium(pb2.SetPremiumRequest(request_id=str(uuid4()), **stated), CONTEXT)


async def test_what_pays_no_premium_is_never_told_as_one(world: World) -> None:
    (settled,) = await world.settle(settle(1, bill("child", 100)))
    assert isinstance(settled, Settlement)
    with pytest.raises(codec.NoPremiumError):
        codec.premium_message(settled)


@pytest.mark.parametrize("method", ["SetPremium", "PayPremium", "RefundPremium", "GetPremium", "ListPremiums"])
def test_institutions_and_other_services_have_no_business_here(method: str) -> None:
    access = ACCESS[f"/{PREMIUMS}/{method}"]
    for stranger in (Principal("institution", "H65270100001"), Principal("service", "registry"), PORTAL):
        with pytest.raises(Refusal):
            access.check(stranger, None)

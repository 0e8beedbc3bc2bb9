"""What people read: each text is a whole one, and the right people get it."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from gongji.binding.events.v1 import events_pb2 as binding
from gongji.settlement.events.v1 import account_events_pb2 as account
from kit.topics import catalogue, message_class
from notify.codec import IncompleteEventError, UnknownEventError, fact_of
from notify.domain import facts
from notify.domain.notices import Category, Worded
from notify.domain.notices import notices as notices_of
from notify.domain.wording import trimmed, yuan
from notify.subscriber import TOPICS, UNTOLD
from notify.testing import TEXTS

FATHER, CHILD = "65270100000000001985", "65270100000000002015"
HOSPITAL = "H65270100001"
AT = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
PAIR = facts.Pair(FATHER, CHILD, facts.Relationship.CHILD)
TERMS = facts.Terms(
    ((facts.Window.SETTLEMENT, 20_000), (facts.Window.YEAR, 100_000)), date(2025, 1, 5), date(2026, 12, 31)
)
CODE = "gongji.identity.events.v1.VerificationCodeIssued"
"""Goes to a telephone instead of an inbox: see test_codes.py."""
EXAMPLES = Path(__file__).resolve().parents[3] / "protos" / "examples"


def movement(patient: str = CHILD, amount_fen: int = 9_000) -> facts.Movement:
    return facts.Movement(FATHER, patient, HOSPITAL, amount_fen, 123_456, AT)


def consumed_types() -> Iterator[str]:
    """What people are told of in their inbox."""
    for topic in TOPICS:
        yield from sorted(set(catalogue().topic(topic).schema) - UNTOLD - {CODE})


def filled(full_name: str) -> Message:
    """An event with every field set, as the contract's golden examples have it."""
    stated: dict[str, Any] = json.loads((EXAMPLES / f"{full_name}.json").read_text(encoding="utf-8"))
    return json_format.ParseDict(stated, message_class(full_name)())


def notices(fact: facts.Fact, language: str = "zh-CN") -> list[Worded]:
    return [TEXTS.renderer(language).render(notice) for notice in notices_of(fact)]


def only(fact: facts.Fact) -> Worded:
    (notice,) = notices(fact)
    return notice


@pytest.mark.parametrize("full_name", list(consumed_types()))
def test_every_event_of_the_consumed_topics_has_a_text(full_name: str) -> None:
    told = notices(fact_of(filled(full_name)))
    assert told
    for notice in told:
        assert notice.addressee
        assert notice.title
        assert notice.body.endswith("。")
        assert "None" not in notice.body


def test_what_nobody_is_told_of_is_in_a_consumed_topic() -> None:
    assert UNTOLD | {CODE} <= {full_name for topic in TOPICS for full_name in catalogue().topic(topic).schema}


def test_notify_is_a_consumer_of_the_topics_that_it_reads() -> None:
    assert {topic.name for topic in catalogue().topics.values() if "notify" in topic.consumers} == set(TOPICS)


def test_an_event_without_a_text_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownEventError, match="RelationFacts"):
        fact_of(binding.RelationFacts())


def test_a_debit_tells_the_payer_who_where_when_how_much_and_what_is_left() -> None:
    notice = only(facts.Debited(movement()))
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.BALANCE, "共济账户支出提醒")
    assert notice.body.startswith(
        "您的家人（人员编号尾号2015）于2025年6月10日10:05在定点医药机构H65270100001就医，"
        "通过家庭共济使用您的个人账户支付¥90.00，支付后账户余额为¥1,234.56。"
    )


def test_a_debit_for_ones_own_bill_does_not_speak_of_mutual_aid() -> None:
    notice = only(facts.Debited(movement(patient=FATHER)))
    assert notice.title == "个人账户支出提醒"
    assert notice.body.startswith(
        "您于2025年6月10日10:05在定点医药机构H65270100001就医，使用您本人的个人账户支付¥90.00"
    )
    assert "共济" not in notice.body


def test_a_refund_tells_the_payer_what_came_back() -> None:
    notice = only(facts.Refunded(movement()))
    assert (notice.addressee, notice.title) == (FATHER, "共济账户退款提醒")
    assert "¥90.00已原路退回您的个人账户，退回后账户余额为¥1,234.56。" in notice.body
    assert "人员编号尾号2015" in notice.body


def test_a_refund_of_ones_own_bill_does_not_speak_of_mutual_aid() -> None:
    notice = only(facts.Refunded(movement(patient=FATHER)))
    assert notice.title == "个人账户退款提醒"
    assert "共济" not in notice.body


PREMIUM = facts.Premium(FATHER, CHILD, 2026, 40_000, 123_456, AT)


def test_a_premium_tells_the_payer_for_whom_which_year_how_much_and_what_is_left() -> None:
    notice = only(facts.PremiumPaid(PREMIUM))
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.BALANCE, "居民医保缴费提醒")
    assert notice.body.startswith(
        "您于2025年6月10日10:05通过家庭共济使用您的个人账户，为家人（人员编号尾号2015）缴纳2026年度"
        "城乡居民基本医疗保险费¥400.00，缴费后账户余额为¥1,234.56。"
    )
    assert "就医" not in notice.body


def test_a_premium_given_back_tells_the_payer_what_came_back() -> None:
    notice = only(facts.PremiumRefunded(PREMIUM))
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.BALANCE, "居民医保退费提醒")
    assert notice.body == (
        "您为家人（人员编号尾号2015）缴纳的2026年度城乡居民基本医疗保险费已于2025年6月10日10:05退费，"
        "¥400.00已原路退回您的个人账户，退回后账户余额为¥1,234.56。相应的共济限额也已恢复。"
    )


@pytest.mark.parametrize(
    ("kind", "of_bill", "of_premium"),
    [
        (account.AccountDebited, facts.Debited, facts.PremiumPaid),
        (account.AccountRefunded, facts.Refunded, facts.PremiumRefunded),
    ],
)
def test_a_year_tells_a_premium_from_a_bill(
    kind: type[account.AccountDebited], of_bill: type[facts.Debited], of_premium: type[facts.PremiumPaid]
) -> None:
    event = kind(psn_no=FATHER, amount_fen=40_000, balance_after_fen=123_456, patient_psn_no=CHILD)
    event.posted_at.FromDatetime(AT)
    assert isinstance(fact_of(event), of_bill)
    event.premium_year = 2026
    assert fact_of(event) == of_premium(PREMIUM)


def test_a_contribution_tells_what_came_in() -> None:
    notice = only(facts.Credited(FATHER, 50_000, 50_000, AT))
    assert notice.body == "您的个人账户于2025年6月10日10:05入账¥500.00，入账后账户余额为¥500.00。"


def test_interest_is_told_as_such() -> None:
    notice = only(facts.Credited(FATHER, 123, 50_123, AT, is_interest=True))
    assert notice.body == "您的个人账户于2025年6月10日10:05入账利息¥1.23，入账后账户余额为¥501.23。"


@pytest.mark.parametrize(
    ("kind", "title", "said"),
    [
        (facts.Frozen, "个人账户冻结提醒", "冻结期间，您和您的家人不能使用该账户支付，退款仍会正常退回。"),
        (facts.Unfrozen, "个人账户解冻提醒", "您和您的家人可以继续使用该账户支付。"),
        (facts.Closed, "个人账户注销提醒", "注销后，该账户不能再用于支付。"),
    ],
)
def test_a_change_of_the_account_tells_why_and_what_it_means(
    kind: type[facts.Frozen | facts.Unfrozen | facts.Closed], title: str, said: str
) -> None:
    notice = only(kind(facts.AccountChange(FATHER, 41_000, AT, "单位申请")))
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.ACCOUNT, title)
    assert "¥410.00。原因：单位申请。" in notice.body
    assert notice.body.endswith(said)


@pytest.mark.parametrize(("to_heirs", "said"), [(True, "支付给继承人。"), (False, "转出。")])
def test_a_payout_tells_how_much_went_where_and_why(to_heirs: bool, said: str) -> None:  # noqa: FBT001 - a case
    notice = only(facts.PaidOut(FATHER, 41_000, AT, "参保关系转出", to_heirs=to_heirs))
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.BALANCE, "个人账户余额清退提醒")
    assert f"¥410.00已于2025年6月10日10:05{said}原因：参保关系转出。" in notice.body


@pytest.mark.parametrize(
    ("fact", "title", "said"),
    [
        (facts.Submitted(PAIR, AT), "共济申请已提交", "请等待医保经办机构审核"),
        (
            facts.Returned(PAIR, AT, "户口本照片不清晰。"),
            "共济申请被退回",
            "原因：户口本照片不清晰。请补充或更正后重新提交。",
        ),
        (facts.Rejected(PAIR, AT, "关系不符"), "共济申请未通过", "原因：关系不符。如有疑问"),
        (facts.Consented(PAIR, AT), "家人已同意共济申请", "由该家人本人确认同意"),
        (facts.Withdrawn(PAIR, AT), "共济申请已撤回", "撤回，不再审核"),
        (facts.LapsedDraft(PAIR, AT), "共济申请已失效", "未在规定时间内提交"),
    ],
)
def test_each_step_of_an_application_is_told_to_the_payer_alone(
    fact: facts.ApplicationFact, title: str, said: str
) -> None:
    notice = only(fact)
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.APPLICATION, title)
    assert "您与您的子女（人员编号尾号2015）的家庭共济申请" in notice.body
    assert said in notice.body


def test_an_approval_is_told_to_both_sides_with_its_terms() -> None:
    payers, beneficiarys = notices(facts.Activated(PAIR, TERMS, AT))
    assert (payers.addressee, beneficiarys.addressee) == (FATHER, CHILD)
    said = "支付限额为每次就医不超过¥200.00、每年不超过¥1,000.00，有效期为2025年1月5日至2026年12月31日。"
    assert said in payers.body
    assert said in beneficiarys.body
    assert "人员编号尾号1985" in beneficiarys.body


@pytest.mark.parametrize(
    ("cause", "said"), [(facts.EndCause.UNBOUND, "已由一方解除"), (facts.EndCause.EXPIRED, "因有效期届满而终止")]
)
def test_an_end_is_told_to_both_sides_with_its_cause(cause: facts.EndCause, said: str) -> None:
    told = notices(facts.Ended(PAIR, AT, cause))
    assert [notice.addressee for notice in told] == [FATHER, CHILD]
    assert all(said in notice.body for notice in told)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (facts.EndCause.EXPIRED, "因有效期届满而终止，自2027年1月1日起不再有效。"),
        (facts.EndCause.PAYER_ENROLMENT_LOST, "因授权人的职工医保参保状态或参保地变化而终止，自2027年1月1日起"),
        (facts.EndCause.BENEFICIARY_ENROLMENT_LOST, "因使用人的参保状态或参保地变化而终止，自2027年1月1日起"),
    ],
)
def test_an_end_by_date_tells_the_day_that_counts_not_when_it_was_recorded(cause: facts.EndCause, said: str) -> None:
    for notice in notices(facts.Ended(PAIR, AT, cause, date(2027, 1, 1))):
        assert said in notice.body
        assert "2025年" not in notice.body


def test_an_end_that_is_near_is_told_to_both_sides_with_its_last_day() -> None:
    payers, beneficiarys = notices(facts.Expiring(PAIR, date(2026, 12, 31)))
    assert (payers.addressee, beneficiarys.addressee) == (FATHER, CHILD)
    assert payers.title == beneficiarys.title == "共济关系即将到期"
    assert all("有效期至2026年12月31日（含当日）" in notice.body for notice in (payers, beneficiarys))
    assert "您的子女（人员编号尾号2015）" in payers.body
    assert "您的家人（人员编号尾号1985）" in beneficiarys.body


def test_a_coming_of_age_is_told_to_both_sides_and_that_nobody_is_cut_off() -> None:
    payers, beneficiarys = notices(facts.ComesOfAge(PAIR, date(2026, 3, 1)))
    assert (payers.addressee, beneficiarys.addressee) == (FATHER, CHILD)
    assert payers.body.startswith("您的子女（人员编号尾号2015）将于2026年3月1日成年。")
    assert beneficiarys.body.startswith("您将于2026年3月1日成年。您的家人（人员编号尾号1985）")
    assert all("继续有效，无需重新申请" in notice.body for notice in (payers, beneficiarys))


def test_a_change_tells_the_place_in_the_order_of_payers() -> None:
    assert "付款顺序为第2位。" in only(facts.Changed(PAIR, TERMS, 2, AT)).body


@pytest.mark.parametrize(
    ("cause", "addressee"),
    [(facts.EndCause.PAYER_DIED, CHILD), (facts.EndCause.BENEFICIARY_DIED, FATHER)],
)
def test_nobody_writes_to_the_one_who_died(cause: facts.EndCause, addressee: str) -> None:
    notice = only(facts.Ended(PAIR, AT, cause))
    assert notice.addressee == addressee
    assert "离世" in notice.body


@pytest.mark.parametrize(
    ("fact", "title"),
    [
        (facts.Resumed(PAIR, AT), "共济关系已恢复"),
        (facts.Changed(PAIR, TERMS, 2, AT), "共济关系已变更"),
        (facts.Suspended(PAIR, AT, "核查"), "共济关系已暂停"),
    ],
)
def test_what_happens_to_a_relation_meanwhile_is_told_to_the_payer_alone(fact: facts.RelationFact, title: str) -> None:
    notice = only(fact)
    assert (notice.addressee, notice.category, notice.title) == (FATHER, Category.RELATION, title)


def test_a_limit_that_is_nearly_used_tells_what_is_left() -> None:
    notice = only(facts.LimitNearlyUsed(PAIR, facts.Window.YEAR, 85_000, 100_000, AT))
    assert "家庭共济限额（每年¥1,000.00）已使用¥850.00，剩余¥150.00。" in notice.body


def test_a_limit_that_was_lowered_below_its_use_has_nothing_left() -> None:
    notice = only(facts.LimitNearlyUsed(PAIR, facts.Window.DAY, 200, 100, AT))
    assert "剩余¥0.00" in notice.body


def test_no_title_names_a_person_an_amount_or_an_institution() -> None:
    for full_name in consumed_types():
        for notice in notices(fact_of(filled(full_name))):
            assert not any(character.isascii() for character in notice.title)


def test_a_relation_without_an_application_was_resumed() -> None:
    event = filled("gongji.binding.events.v1.RelationActivated")
    assert isinstance(event, binding.RelationActivated)
    event.application_id = ""
    assert isinstance(fact_of(event), facts.Resumed)


def test_a_cause_or_relationship_of_a_later_contract_still_has_a_text() -> None:
    event = filled("gongji.binding.events.v1.RelationEnded")
    assert isinstance(event, binding.RelationEnded)
    event.cause = 77  # type: ignore[assignment]
    event.relation.relationship = 77  # type: ignore[assignment]
    payers, _ = notices(fact_of(event))
    assert "您的家人" in payers.body
    assert "关系已终止" in payers.body


@pytest.mark.parametrize("field", ["valid_from", "valid_to"])
def test_a_relation_with_an_impossible_date_is_refused_without_telling_its_value(field: str) -> None:
    event = filled("gongji.binding.events.v1.RelationChanged")
    assert isinstance(event, binding.RelationChanged)
    setattr(event.relation, field, "2025-02-30")
    with pytest.raises(IncompleteEventError, match=f"relation.{field} is not a date"):
        fact_of(event)


def test_a_relation_without_limits_is_refused() -> None:
    event = filled("gongji.binding.events.v1.RelationChanged")
    assert isinstance(event, binding.RelationChanged)
    event.relation.ClearField("limits")
    with pytest.raises(IncompleteEventError, match="limits"):
        fact_of(event)


def test_an_unknown_window_is_refused() -> None:
    with pytest.raises(IncompleteEventError, match="window"):
        fact_of(binding.LimitNearlyUsed())


def test_every_field_of_a_debit_reaches_its_fact() -> None:
    event = account.AccountDebited(
        psn_no=FATHER, amount_fen=1, balance_after_fen=2, patient_psn_no=CHILD, fixmedins_code=HOSPITAL
    )
    event.posted_at.FromDatetime(AT)
    assert fact_of(event) == facts.Debited(facts.Movement(FATHER, CHILD, HOSPITAL, 1, 2, AT))


@pytest.mark.parametrize(
    ("amount_fen", "text"),
    [(0, "¥0.00"), (5, "¥0.05"), (123_456, "¥1,234.56"), (10_000_000_000, "¥100,000,000.00"), (-150, "-¥1.50")],
)
def test_amounts_are_yuan_with_thousands_and_two_places(amount_fen: int, text: str) -> None:
    assert yuan(amount_fen) == text


def test_moments_are_shanghai_time() -> None:
    at = datetime(2025, 6, 30, 16, 5, tzinfo=UTC)
    assert "已于2025年7月1日00:05撤回" in only(facts.Withdrawn(PAIR, at)).body


def test_a_reason_is_one_sentence_whatever_the_clerk_ended_it_with() -> None:
    assert trimmed(" 材料\n不全。。 ") == "材料 不全"
    said = only(facts.Rejected(PAIR, AT, " 材料不全。。 ")).body
    assert "未通过审核。原因：材料不全。如有疑问" in said


def test_without_a_reason_none_is_told() -> None:
    assert "未通过审核。如有疑问" in only(facts.Rejected(PAIR, AT, "  ")).body


@pytest.mark.parametrize(
    ("catalogued", "words", "said"),
    [
        ("证明材料不齐全", "缺户口本首页。", "证明材料不齐全（缺户口本首页）"),
        ("证明材料不齐全", " ", "证明材料不齐全"),
        ("", "看不清", "看不清"),
        ("", "", ""),
    ],
)
def test_a_clerks_reason_is_the_catalogues_text_with_the_clerks_words(catalogued: str, words: str, said: str) -> None:
    event = binding.ApplicationReturned(reason=words, reason_text=catalogued)
    fact = fact_of(event)
    assert isinstance(fact, facts.Returned)
    assert fact.reason == said

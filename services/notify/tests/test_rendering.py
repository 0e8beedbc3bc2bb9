"""What every text says, in every language and by every channel."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from notify.catalogues import languages
from notify.domain import facts
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.codes import Purpose
from notify.domain.kinds import Kind
from notify.domain.notices import Category, Money, Notice, Param, notices
from notify.domain.samples import sampled_notices, samples
from notify.rendering import Renderer, all_samples
from notify.sources import short_forms
from notify.testing import TEXTS
from notify.text_commands import review

GOLDEN = Path(__file__).resolve().parent / "golden"
AT = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
FATHER, CHILD = "65270100000000001985", "65270100000000002015"
PAIR = facts.Pair(FATHER, CHILD, facts.Relationship.CHILD)
CHINESE, ENGLISH = TEXTS.renderer("zh-CN"), TEXTS.renderer("en")


@pytest.mark.parametrize("language", TEXTS.languages)
def test_every_text_reads_as_it_was_reviewed(language: str) -> None:
    """After a change that is meant: `python -m notify texts --language en > tests/golden/texts.en.txt`."""
    golden = (GOLDEN / f"texts.{language}.txt").read_text(encoding="utf-8")
    assert [*review(TEXTS.renderer(language))] == golden.splitlines()


def test_chinese_comes_first_and_english_is_there() -> None:
    assert TEXTS.languages == ("zh-CN", "en")


def test_samples_have_every_fact_and_every_value_that_is_a_word() -> None:
    told = samples()
    assert {type(fact) for fact in told} == set(facts.Fact.__args__)
    ended = {fact.cause for fact in told if isinstance(fact, facts.Ended)}
    windows = {fact.window for fact in told if isinstance(fact, facts.LimitNearlyUsed)}
    relatives = {fact.pair.relationship for fact in told if isinstance(fact, facts.Resumed)}
    assert (ended, windows, relatives) == (set(facts.EndCause), set(facts.Window), set(facts.Relationship))


@pytest.mark.parametrize("language", TEXTS.languages)
def test_no_title_has_an_amount_or_a_date(language: str) -> None:
    for notice in sampled_notices():
        title = TEXTS.renderer(language).render(notice).title
        assert title
        assert not any(character.isdigit() or character == "¥" for character in title)


@pytest.mark.parametrize("language", TEXTS.languages)
def test_nothing_is_left_of_a_template_and_nobodys_whole_number_is_shown(language: str) -> None:
    for template, params in all_samples():
        for channel in (Channel.SMS, Channel.EMAIL):
            said = TEXTS.renderer(language).said(template, params, channel)
            for sign in ("{", "}", "%(", "None", "  ", FATHER, CHILD):
                assert sign not in said.body


def test_english_has_no_chinese_but_a_clerks_own_words() -> None:
    for template, params in all_samples():
        for channel in (Channel.SMS, Channel.EMAIL):
            said = ENGLISH.said(template, {**params, "reason": "late"} if params.get("reason") else params, channel)
            assert not any("\u3000" <= character <= "\uffef" for character in said.title + said.body)


def test_a_debit_in_english() -> None:
    (notice,) = notices(facts.Debited(facts.Movement(FATHER, CHILD, "H65270100001", 9_000, 123_456, AT)))
    worded = ENGLISH.render(notice)
    assert (worded.addressee, worded.category) == (FATHER, Category.BALANCE)
    assert worded.body.startswith(
        "Your family member (person number ending in 2015) received care at the designated institution H65270100001 on "
        "10 June 2025, 10:05 and paid ¥90.00 from your personal account through family mutual aid. "
        "The balance is now ¥1,234.56. If you"
    )


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.PUSH])
def test_a_telephone_gets_the_short_form_with_its_parameters_in_the_gateways_order(channel: Channel) -> None:
    (notice,) = notices(facts.Debited(facts.Movement(FATHER, CHILD, "H65270100001", 9_000, 123_456, AT)))
    said = CHINESE.said(notice.template, notice.params, channel)
    assert (said.template, said.language, said.title) == ("debit-family", "zh-CN", "共济账户支出提醒")
    assert list(said.params.items()) == [
        ("patient", "人员编号尾号2015"),
        ("at", "2025年6月10日10:05"),
        ("amount", "¥90.00"),
        ("balance", "¥1,234.56"),
    ]
    for name, value in said.params.items():
        assert CHINESE.gateway_form("debit-family").count(f"${{{name}}}") == 1
        assert value in said.body
    assert "¥90.00" not in repr(said)


@pytest.mark.parametrize("channel", sorted(OUTSIDE - {Channel.SMS, Channel.PUSH}, key=str))
def test_a_mail_or_a_messenger_gets_the_whole_text_and_no_parameters(channel: Channel) -> None:
    (notice,) = notices(facts.Credited(FATHER, 100, 200, AT))
    said = ENGLISH.said(notice.template, notice.params, channel)
    assert said.body == ENGLISH.render(notice).body
    assert said.params == {}


@pytest.mark.parametrize("language", TEXTS.languages)
def test_a_gateway_that_fills_the_parameters_into_its_template_says_what_we_say(language: str) -> None:
    renderer = TEXTS.renderer(language)
    for template, params in all_samples():
        said, form = renderer.said(template, params, Channel.SMS), renderer.gateway_form(template)
        for name, value in said.params.items():
            form = form.replace(f"${{{name}}}", value)
        assert form == said.body


def test_short_forms_say_no_clerks_words() -> None:
    assert all("reason" not in params for params in short_forms().values())


def test_a_language_that_is_no_longer_there_is_answered_in_chinese() -> None:
    assert TEXTS.renderer("ug") is CHINESE


def test_a_fact_that_a_text_asks_for_and_does_not_get_is_an_error() -> None:
    notice = Notice(
        FATHER, Kind.CREDIT, Category.BALANCE, "credit", {"at": AT, "amount": Money(1), "is_interest": False}
    )
    with pytest.raises(UndefinedError, match="balance"):
        CHINESE.render(notice)


@pytest.mark.parametrize(
    "words",
    ["{{ at }}", "%(at)s", "{% if reason %}", "100%", "{# x", "{{ ''.__class__ }}", "${amount}", "第一行\n第二行"],
)
@pytest.mark.parametrize("language", TEXTS.languages)
def test_a_clerks_words_are_words_whatever_they_look_like(language: str, words: str) -> None:
    (notice,) = notices(facts.Suspended(PAIR, AT, words))
    assert " ".join(words.split()) in TEXTS.renderer(language).render(notice).body


@given(st.text(max_size=60))
def test_a_reason_never_takes_anything_from_the_text_around_it(words: str) -> None:
    (notice,) = notices(facts.Rejected(PAIR, AT, words))
    body = CHINESE.render(notice).body
    assert body.startswith("您与您的子女（人员编号尾号2015）的家庭共济申请于2025年6月10日10:05未通过审核。")
    assert body.endswith("如有疑问，请联系当地医保经办机构。")
    assert "\n" not in body


@given(st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001 - made aware
def test_a_moment_is_told_by_the_clocks_of_shanghai_wherever_it_was_written_down(at: datetime, offset: int) -> None:
    aware = at.replace(tzinfo=timezone(timedelta(hours=offset)))
    local = aware.astimezone(UTC) + timedelta(hours=8)
    (notice,) = notices(facts.Withdrawn(PAIR, aware))
    assert f"已于{local.year}年{local.month}月{local.day}日{local:%H:%M}撤回" in CHINESE.render(notice).body
    assert f" on {local.day} {local:%B} {local.year}, {local:%H:%M} " in ENGLISH.render(notice).body


@pytest.mark.parametrize(
    ("fact", "kinds"),
    [
        (facts.Debited(facts.Movement(FATHER, CHILD, "H", 1, 2, AT)), [Kind.DEBIT]),
        (facts.PremiumPaid(facts.Premium(FATHER, CHILD, 2026, 1, 2, AT)), [Kind.DEBIT]),
        (facts.Refunded(facts.Movement(FATHER, FATHER, "H", 1, 2, AT)), [Kind.REFUND]),
        (facts.PremiumRefunded(facts.Premium(FATHER, CHILD, 2026, 1, 2, AT)), [Kind.REFUND]),
        (facts.Credited(FATHER, 1, 2, AT), [Kind.CREDIT]),
        (facts.Frozen(facts.AccountChange(FATHER, 1, AT, "")), [Kind.ACCOUNT]),
        (facts.PaidOut(FATHER, 1, AT, "", to_heirs=False), [Kind.ACCOUNT]),
        (facts.Returned(PAIR, AT, ""), [Kind.APPLICATION]),
        (facts.ComesOfAge(PAIR, date(2026, 3, 1)), [Kind.RELATION, Kind.RELATION]),
        (facts.Ended(PAIR, AT, facts.EndCause.PAYER_DIED), [Kind.RELATION]),
        (facts.LimitNearlyUsed(PAIR, facts.Window.DAY, 1, 2, AT), [Kind.LIMIT]),
    ],
)
def test_each_notice_is_of_the_kind_that_people_choose_by(fact: facts.Fact, kinds: list[Kind]) -> None:
    assert [notice.kind for notice in notices(fact)] == kinds


def test_every_purpose_of_a_code_has_words() -> None:
    for purpose in Purpose:
        params: dict[str, Param] = {"purpose": purpose, "code": "012345", "until": AT}
        assert "012345" in ENGLISH.said("verification-code", params, Channel.SMS).body


def test_a_renderer_says_in_which_language_it_writes() -> None:
    assert [Renderer(language).language for language in languages()] == ["zh-CN", "en"]

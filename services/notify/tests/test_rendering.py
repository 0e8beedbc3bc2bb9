"""Every text in every language, and what keeps a wrong one from being served."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from typer.testing import CliRunner

from notify.catalogues import LOCALES, entries, languages, updated
from notify.cli import app
from notify.domain import facts
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.codes import Purpose
from notify.domain.kinds import Kind
from notify.domain.notices import Category, Money, Notice, Param, notices
from notify.domain.samples import sampled_notices, samples
from notify.rendering import Renderer, Texts, all_samples
from notify.sources import TextsError, sentences, short_forms, sources, translated
from notify.testing import TEXTS
from notify.text_checks import check_sources
from notify.text_commands import review

GOLDEN = Path(__file__).resolve().parent / "golden"
AT = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
FATHER, CHILD = "65270100000000001985", "65270100000000002015"
PAIR = facts.Pair(FATHER, CHILD, facts.Relationship.CHILD)
CHINESE, ENGLISH = TEXTS.renderer("zh-CN"), TEXTS.renderer("en")

PATTERNS = {"y年M月d日": "y MMMM dd", "y年M月d日HH:mm": "y MMMM dd HH:mm"}


def made_up(folder: Path, tag: str, change: Callable[[Message], None] = lambda _: None) -> Path:
    """A folder with the catalogue of a language in which each sentence is put into «», but for what `change` does."""
    path = updated(tag, folder)
    with path.open("rb") as file:
        catalogue = read_po(file)
    for message in list(catalogue):
        if message.id:
            message.string = PATTERNS.get(str(message.id)) or f"«{message.id}»"
            change(message)
    save(catalogue, path)
    return folder


def save(catalogue: Catalog, path: Path) -> None:
    with path.open("wb") as file:
        write_po(file, catalogue, width=0)


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


# Languages


def test_a_translator_adds_a_language_without_code(tmp_path: Path) -> None:
    texts = Texts(made_up(tmp_path, "ug"))
    assert texts.languages == ("zh-CN", "ug")
    (notice,) = notices(facts.Rejected(PAIR, AT, "关系不符"))
    worded = texts.renderer("ug").render(notice)
    assert worded.title == "«共济申请未通过»"
    assert worded.body == (
        "«您与«您的«子女»（«人员编号尾号2015»）»的家庭共济申请于2025 ئىيۇن 10 10:05未通过审核。» «原因：关系不符。» "
        "«如有疑问，请联系当地医保经办机构。»"
    )


def test_a_script_and_region_belong_to_a_languages_name(tmp_path: Path) -> None:
    assert Texts(made_up(tmp_path, "mn-Mong-CN")).languages == ("zh-CN", "mn-Mong-CN")
    assert (tmp_path / "mn_Mong_CN" / "LC_MESSAGES" / "notify.po").exists()


def test_a_translation_may_change_the_order(tmp_path: Path) -> None:
    def reordered(message: Message) -> None:
        if str(message.id).startswith("您的个人账户于%(at)s入账%(amount)s，余额"):
            message.string = "%(balance)s %(amount)s 100%% %(at)s"

    said = (
        Texts(made_up(tmp_path, "ug", reordered))
        .renderer("ug")
        .said("credit", {"at": AT, "amount": Money(1), "balance": Money(2), "is_interest": False}, Channel.SMS)
    )
    assert said.body == "¥0.02 ¥0.01 100% 2025 ئىيۇن 10 10:05"


def spoiled(string: str) -> Callable[[Message], None]:
    def spoil(message: Message) -> None:
        if str(message.id).startswith("您的个人账户于%(at)s入账%(amount)s，余额"):
            message.string = string

    return spoil


def fuzzy(message: Message) -> None:
    if message.id == "共济关系已恢复":
        message.flags.add("fuzzy")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (spoiled(""), "is not translated"),
        (spoiled("%(at)s %(amount)s"), "has the placeholders at, amount in its translation"),
        (spoiled("%(at)s %(amount)s %(balance)s %(balance)s"), "has the placeholders at, amount, balance, balance"),
        (spoiled("%(at)s %(amount)s %(left)s"), "has the placeholders at, amount, left"),
        (spoiled("%(at)s %(amount)s %(balance)s 100%"), "has a sign"),
        (spoiled("%(at)s %(amount)s %(balance)s {{ at }}"), "has a sign"),
        (spoiled("%(at)s %(amount)s %(balance)s {% raw %}"), "has a sign"),
        (spoiled("%(at)s\n%(amount)s %(balance)s"), "has a sign"),
        (fuzzy, "is translated for another wording"),
    ],
)
def test_a_translation_that_would_say_something_else_is_refused_at_the_start(
    tmp_path: Path, change: Callable[[Message], None], why: str
) -> None:
    with pytest.raises(TextsError, match=why) as caught:
        Texts(made_up(tmp_path, "ug", change))
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).startswith("ug: ")


def test_a_new_sentence_keeps_languages_without_it_from_the_start(tmp_path: Path) -> None:
    path = updated("ug", tmp_path)
    with pytest.raises(TextsError) as caught:
        Texts(tmp_path)
    assert len(str(caught.value).splitlines()) == len({(entry.context, entry.msgid) for entry in entries()})
    assert path.exists()


@pytest.mark.parametrize("content", ["msgid", 'msgid "a"\nmsgstr "b', "\x00"])
def test_a_catalogue_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    updated("ug", tmp_path).write_text(content, encoding="utf-8")
    with pytest.raises(TextsError, match="ug"):
        Texts(tmp_path)


def test_a_pattern_that_is_none_of_a_date_is_refused(tmp_path: Path) -> None:
    def spoil(message: Message) -> None:
        if message.id == "y年M月d日":
            message.string = "QQQQQQQ"

    with pytest.raises(TextsError, match=r"ug: .* cannot be rendered"):
        Texts(made_up(tmp_path, "ug", spoil))


def test_the_catalogues_have_what_is_said_today_and_nothing_else(tmp_path: Path) -> None:
    for language in languages()[1:]:
        path = LOCALES / language.tag / "LC_MESSAGES" / "notify.po"
        copy = tmp_path / language.tag / "LC_MESSAGES" / "notify.po"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes())
        assert updated(language.tag, tmp_path) == copy
        assert copy.read_bytes() == path.read_bytes()


def test_bringing_a_catalogue_up_to_date_keeps_what_was_translated(tmp_path: Path) -> None:
    path = updated("ug", made_up(tmp_path, "ug"))
    with path.open("rb") as file:
        catalogue = read_po(file)
    reworded = catalogue.get("共济关系已恢复")
    assert reworded is not None
    catalogue.delete("共济关系已恢复")
    catalogue.add("共济关系现已恢复", "kept")
    catalogue.add("12345678", "of no use any more")
    save(catalogue, path)
    with updated("ug", tmp_path).open("rb") as file:
        after = read_po(file)
    assert str(getattr(after.get("共济关系已暂停"), "string", "")) == "«共济关系已暂停»"
    found = after.get("共济关系已恢复")
    assert found is not None
    assert (found.string, found.fuzzy) == ("kept", True)
    assert after.get("共济关系现已恢复") is None
    assert "#~" not in path.read_text(encoding="utf-8")


# Templates

PARAMS: Mapping[str, Any] = {"at": AT, "amount": Money(1)}
GOOD = (
    "{% block title %}{% trans %}标题{% endtrans %}{% endblock %}\n"
    "{% block body %}{% if amount %}{% trans %}于{{ at }}。{% endtrans %}{% endif %}{% endblock %}\n"
    "{% block short %}{% trans %}{{ amount }}于{{ at }}。{% endtrans %}{% endblock %}\n"
)


def test_a_template_that_is_right_is_taken() -> None:
    check_sources({"one": GOOD}, {"one": ("at", "amount")}, [("one", PARAMS)])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("于{{ at }}。{% endtrans %}{% endif", "于{{ on }}。{% endtrans %}{% endif", "what it tells of has no on"),
        ("if amount", "if reason", "what it tells of has no reason"),
        ("标题", "标题{{ at }}", "its title is the same for everybody"),
        ("{{ amount }}于", "于", "its short form takes at always, short-forms.toml says at, amount"),
        ("{% block short %}", "{% block short %}{% if at %}{% endif %}", "its short form takes amount, at always"),
        ("{% block title %}", "{% block title %}标", "it has words outside of trans"),
        ("{{ amount }}于", "{{ amount.fen }}于", "nothing else"),
        ("{{ amount }}于", "{{ amount|upper }}于", "nothing else"),
        ("{{ amount }}于", "{{ amount() }}于", "nothing else"),
        ("if amount", "if amount == 1", "nothing else"),
        ("{% block short %}", "{% set x = 1 %}{% block short %}", "nothing else"),
        ("{% block short %}", "{% include 'x' %}{% block short %}", "nothing else"),
        ("block short", "block brief", "its blocks are title, body, brief instead of title, body, short"),
        ("{% endif %}", "", "line"),
        ("{% trans %}标题", "{% trans a=1 %}标题", "line"),
    ],
)
def test_a_template_that_is_wrong_is_refused(old: str, new: str, why: str) -> None:
    assert old in GOOD
    with pytest.raises(TextsError, match=why):
        check_sources({"one": GOOD.replace(old, new)}, {"one": ("at", "amount")}, [("one", PARAMS)])


def test_what_only_some_notices_say_is_no_placeholder() -> None:
    with pytest.raises(TextsError, match="one: what it tells of has no amount"):
        check_sources({"one": GOOD}, {"one": ("at", "amount")}, [("one", PARAMS), ("one", {"at": AT})])


@pytest.mark.parametrize(
    ("found", "forms", "samples_of", "why"),
    [
        ({}, {"one": ("at", "amount")}, ["one"], "there is no text of this name"),
        ({"one": GOOD}, {}, ["one"], "there is no short form of this name"),
        ({"one": GOOD}, {"one": ("at", "amount")}, [], "there is no notice of this name"),
    ],
)
def test_a_text_has_a_notice_a_template_and_a_short_form(
    found: dict[str, str], forms: dict[str, tuple[str, ...]], samples_of: list[str], why: str
) -> None:
    with pytest.raises(TextsError, match=why):
        check_sources(found, forms, [(name, PARAMS) for name in samples_of])


def test_a_parameter_comes_once() -> None:
    with pytest.raises(TextsError, match="short-forms"):
        check_sources({"one": GOOD}, {"one": ("at", "amount", "at")}, [("one", PARAMS)])


def test_texts_that_are_wrong_keep_notify_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.rendering.short_forms", lambda: {**short_forms(), "credit": ("at",)})
    with pytest.raises(TextsError, match="credit: its short form takes amount, at, balance always"):
        Texts()


def test_a_percent_sign_is_two_in_catalogues_and_one_in_what_is_read() -> None:
    source = "{% trans %}{{ at }} 100%{% endtrans %}"
    assert sentences(source) == ["%(at)s 100%%"]
    assert translated(source, lambda msgid: f"«{msgid}»") == "«{{ at }} 100%»"


def test_templates_call_nothing_that_jinja_offers() -> None:
    assert all("range" not in source and "(" not in source for source in sources().values())


# Commands


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_the_texts_are_printed_for_review_without_any_setting() -> None:
    status, printed = run("texts", "--language", "en")
    assert status == 0
    assert printed == (GOLDEN / "texts.en.txt").read_text(encoding="utf-8")


def test_without_a_language_all_are_printed() -> None:
    status, printed = run("texts")
    assert status == 0
    assert printed == "".join((GOLDEN / f"texts.{tag}.txt").read_text(encoding="utf-8") for tag in TEXTS.languages)


def test_a_language_that_is_not_there_is_named() -> None:
    status, printed = run("texts", "--language", "ug")
    assert status == 2
    assert "no catalogue of ug, only of zh-CN, en" in printed


def test_a_catalogue_that_is_wrong_is_told_in_a_sentence(tmp_path: Path) -> None:
    made_up(tmp_path, "ug", fuzzy)
    status, printed = run("texts", "--locales", str(tmp_path))
    assert status == 1
    assert printed.startswith("✗ ug: 共济关系已恢复: ")


def test_a_translator_begins_and_reviews_a_catalogue(tmp_path: Path) -> None:
    status, printed = run("catalogue", "kk", "--locales", str(tmp_path))
    assert status == 0
    assert str(tmp_path / "kk" / "LC_MESSAGES" / "notify.po") in printed
    made_up(tmp_path, "kk")
    status, printed = run("texts", "--language", "kk", "--locales", str(tmp_path))
    assert status == 0
    assert "«共济关系已恢复»" in printed


@pytest.mark.parametrize("tag", ["zh-CN", "xx", "", "../en", "english language"])
def test_a_language_that_nobody_can_write_gets_no_catalogue(tmp_path: Path, tag: str) -> None:
    assert run("catalogue", tag, "--locales", str(tmp_path))[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_every_purpose_of_a_code_has_words() -> None:
    for purpose in Purpose:
        params: dict[str, Param] = {"purpose": purpose, "code": "012345", "until": AT}
        assert "012345" in ENGLISH.said("verification-code", params, Channel.SMS).body


def test_a_renderer_says_in_which_language_it_writes() -> None:
    assert [Renderer(language).language for language in languages()] == ["zh-CN", "en"]

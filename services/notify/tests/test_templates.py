"""Which templates of texts are taken, and what keeps a wrong one from being served."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from jinja2.exceptions import SecurityError

from notify import rendering
from notify.domain.notices import Money
from notify.rendering import Texts
from notify.sources import TextsError, sentences, short_forms, sources, translated
from notify.text_checks import check_sources

AT = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
PARAMS: Mapping[str, Any] = {"at": AT, "amount": Money(1)}
GOOD = (
    "{% block title %}{% trans %}标题{% endtrans %}{% endblock %}\n"
    "{% block body %}{% if amount %}{% trans %}于{{ at }}。{% endtrans %}{% endif %}{% endblock %}\n"
    "{% block short %}{% trans %}{{ amount }}于{{ at }}。{% endtrans %}{% endblock %}\n"
)


def problem_of(source: str) -> str:
    """Why the only text of all is refused; nothing if it is taken."""
    try:
        check_sources({"one": source}, {"one": ("at", "amount")}, [("one", PARAMS)])
    except TextsError as error:
        return str(error)
    return ""


def test_a_template_that_is_right_is_taken() -> None:
    assert problem_of(GOOD) == ""


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
    assert why in problem_of(GOOD.replace(old, new))


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


@pytest.mark.parametrize("source", ["{{ ''.__class__.__mro__ }}", "{{ said.append(1) }}"])
def test_what_slips_through_finds_nothing_to_use_or_change(source: str) -> None:
    said: list[int] = []
    with pytest.raises(SecurityError):
        rendering._ENVIRONMENT.from_string(source).render(said=said)
    assert said == []


def test_templates_call_nothing_that_jinja_offers() -> None:
    assert all("range" not in source and "(" not in source for source in sources().values())

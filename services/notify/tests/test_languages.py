"""Catalogues of translations: how one is begun, reviewed and kept up, and which are refused at the start."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from typer.testing import CliRunner

from notify.catalogues import LOCALES, entries, languages, updated
from notify.cli import app
from notify.domain import facts
from notify.domain.channels import Channel
from notify.domain.notices import Money, notices
from notify.rendering import Texts
from notify.sources import TextsError
from notify.testing import TEXTS

GOLDEN = Path(__file__).resolve().parent / "golden"
AT = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
FATHER, CHILD = "65270100000000001985", "65270100000000002015"
PAIR = facts.Pair(FATHER, CHILD, facts.Relationship.CHILD)

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

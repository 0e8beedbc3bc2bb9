"""The languages that there are: Chinese, which the texts are written in, and each that there is a catalogue of."""

from collections.abc import Iterator
from dataclasses import dataclass
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po, write_po

from notify.sources import SUFFIX, TEXTS, TextsError, sentences, sources
from notify.words import ENUMS, PHRASES

LOCALES: Final = TEXTS / "locale"
SOURCE: Final = "zh-CN"
_HEADER: Final = """\
# What Gongji's families read. Chinese is the key; %(amount)s and the like stay as they are, in any order.
#"""


@dataclass(frozen=True, slots=True)
class Language:
    """A language that people can be written to in."""

    tag: str
    """BCP 47, such as zh-CN or en."""
    locale: Locale
    translations: NullTranslations
    catalogue: Catalog | None
    """None for the language that the texts are written in."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be translated."""

    context: str | None
    """Tells words apart that are the same in Chinese."""
    msgid: str
    where: str
    """The text or the enumeration that says it."""


def languages(locales: Path = LOCALES) -> tuple[Language, ...]:
    """Chinese, and each language with a catalogue `<language>/LC_MESSAGES/notify.po`, by its tag.

    Raises:
        TextsError: a catalogue is none.
    """
    source = Language(SOURCE, Locale.parse(SOURCE, sep="-"), NullTranslations(), None)
    return (source, *(_language(path) for path in sorted(locales.glob("*/LC_MESSAGES/notify.po"))))


def _language(path: Path) -> Language:
    tag = path.parents[1].name.replace("_", "-")
    try:
        locale = Locale.parse(tag, sep="-")
        with path.open("rb") as file:
            catalogue = read_po(file, abort_invalid=True)
    except (PoFileError, UnknownLocaleError, ValueError) as error:
        raise TextsError(f"{path} cannot be read: {error}") from None
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(tag, locale, GNUTranslations(compiled), catalogue)


def updated(tag: str, locales: Path = LOCALES) -> Path:
    """Bring a language's catalogue up to date, or begin one; what was translated stays, what nobody says any more goes.

    Returns the file, in which what was reworded is marked as fuzzy and what is new is empty.

    Raises:
        ValueError: there is no such language.
        UnknownLocaleError: nothing is known of it.
    """
    locale = Locale.parse(tag, sep="-")
    path = locales / tag.replace("-", "_") / "LC_MESSAGES" / "notify.po"
    asked = Catalog(header_comment=_HEADER, project="Gongji", version="notify", charset="utf-8", fuzzy=False)
    for entry in entries():
        asked.add(entry.msgid, locations=[(entry.where, 0)], context=entry.context)
    catalogue = asked
    if path.exists():
        with path.open("rb") as file:
            catalogue = read_po(file)
        catalogue.update(asked, update_creation_date=False)
        catalogue.obsolete.clear()
    else:
        catalogue.locale = locale
        path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_po(file, catalogue, width=0)
    return path


def entries() -> Iterator[Entry]:
    """Everything that a language has to translate; what several texts say comes once for each."""
    for name, source in sources().items():
        for sentence in sentences(source):
            yield Entry(None, sentence, f"{name}{SUFFIX}")
    for phrase in PHRASES:
        yield Entry(None, phrase, "words.py")
    for enum in ENUMS:
        for value in enum:
            yield Entry(enum.__name__, value.value, enum.__name__)

"""The languages that there are: Chinese, which the texts are written in, and each that there is a catalogue of."""

from collections.abc import Iterator
from dataclasses import dataclass
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from notify.sources import SUFFIX, TEXTS, sentences, sources
from notify.words import ENUMS, PHRASES

LOCALES: Final = TEXTS / "locale"
SOURCE: Final = "zh-CN"


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
    """Chinese, and each language with a catalogue `<language>/LC_MESSAGES/notify.po`, by its tag."""
    source = Language(SOURCE, Locale.parse(SOURCE, sep="-"), NullTranslations(), None)
    return (source, *(_language(path) for path in sorted(locales.glob("*/LC_MESSAGES/notify.po"))))


def _language(path: Path) -> Language:
    tag = path.parents[1].name.replace("_", "-")
    with path.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(tag, Locale.parse(tag, sep="-"), GNUTranslations(compiled), catalogue)


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

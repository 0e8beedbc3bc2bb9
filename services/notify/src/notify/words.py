"""How the values that a text says read in a language: amounts, times, persons, terms."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from functools import lru_cache
from gettext import NullTranslations
from typing import Any, Final

from babel import Locale
from babel.dates import format_date, format_datetime

from notify.domain.codes import Purpose
from notify.domain.facts import EndCause, Relationship, Window
from notify.domain.notices import Limits, Money, Param, Person, Relative
from notify.domain.wording import SHANGHAI, yuan

SHOWN_DIGITS: Final = 4
DAY: Final = "y年M月d日"
MOMENT: Final = "y年M月d日HH:mm"
"""Patterns of CLDR, which name months in the language that they are translated to."""
PERSON: Final = "人员编号尾号%(digits)s"
"""Enough for a family to tell who it is, and no more than that."""
RELATIVE: Final = "您的%(relationship)s（%(person)s）"
LIMIT: Final = "%(window)s不超过%(amount)s"
AND: Final = "、"
PHRASES: Final = (DAY, MOMENT, PERSON, RELATIVE, LIMIT, AND)
"""What is said inside of texts; like them, the Chinese is the key of the translations."""
ENUMS: Final[tuple[type[Enum], ...]] = (Relationship, Window, EndCause, Purpose)
"""Their values are words, with the enum's name as the context of each."""
_MOMENTS_KEPT: Final = 4096


class Words:
    """The words of one language."""

    def __init__(self, locale: Locale, translations: NullTranslations) -> None:
        said = translations.gettext
        self._locale = locale
        self._person, self._relative, self._limit, self._and = said(PERSON), said(RELATIVE), said(LIMIT), said(AND)
        self._day = said(DAY)
        self._minute = lru_cache(_MOMENTS_KEPT)(_minutes(locale, said(MOMENT)))  # many events share a minute
        self._names = {value: translations.pgettext(enum.__name__, value.value) for enum in ENUMS for value in enum}
        self._forms: Mapping[type, Callable[[Any], str]] = {
            Money: lambda money: yuan(money.fen),
            datetime: self._moment,
            date: self._date,
            Person: self._masked,
            Relative: self._family,
            Limits: self._limits,
            int: str,
            **dict.fromkeys(ENUMS, self._names.__getitem__),
        }

    def of(self, params: Mapping[str, Param]) -> dict[str, object]:
        """The values in words; truths, texts and what is absent as they are."""
        forms = self._forms
        return {name: form(value) if (form := forms.get(type(value))) else value for name, value in params.items()}

    def _moment(self, at: datetime) -> str:
        return self._minute(at.replace(second=0, microsecond=0))

    def _date(self, on: date) -> str:
        return format_date(on, self._day, self._locale)

    def _masked(self, person: Person) -> str:
        return self._person % {"digits": person.psn_no[-SHOWN_DIGITS:]}

    def _family(self, relative: Relative) -> str:
        pair = relative.pair
        relationship, person = self._names[pair.relationship], self._masked(Person(pair.beneficiary))
        return self._relative % {"relationship": relationship, "person": person}

    def _limits(self, limits: Limits) -> str:
        said = [self._limit % {"window": self._names[window], "amount": yuan(fen)} for window, fen in limits.by_window]
        return self._and.join(said)


def _minutes(locale: Locale, pattern: str) -> Callable[[datetime], str]:
    def minute(at: datetime) -> str:
        return format_datetime(at, pattern, SHANGHAI, locale)

    return minute

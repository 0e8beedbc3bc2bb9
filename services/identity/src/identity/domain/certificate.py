"""What proves who a person is: a certificate and a name; how both are compared and shown."""

import unicodedata
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from identity.domain import identity_number

# Names of Xinjiang's peoples are written with a middle dot, which keyboards and registers spell in many ways.
_MIDDLE_DOT = "·"
_DOTS = dict.fromkeys(map(ord, "•‧∙⋅・･．•᛫●"), _MIDDLE_DOT)
_SHOWN_AT_MOST = 4
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo"})
_SEEN_BY_MACHINES_ONLY = frozenset({"Cc", "Cf", "Cs", "Co"})


class CertificateType(StrEnum):
    """psn_cert_type, by its national code."""

    IDENTITY_CARD = "01"
    HONG_KONG_PERMIT = "04"
    MACAO_PERMIT = "05"
    TAIWAN_PERMIT = "06"
    PERMANENT_RESIDENCE = "07"
    PASSPORT = "08"
    OTHER = "99"
    BIRTH_CERTIFICATE = "990201"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate; its number never appears where the object is printed."""

    type: CertificateType
    number: str = field(repr=False)
    """As printed, letters in upper case."""


def birth_date_in(certificate: Certificate, today: date) -> date | None:
    """The birth date that the number carries, or None if that kind of number carries none.

    Raises:
        CertificateInvalid: it is an identity number and does not follow GB 11643-1999.
    """
    if certificate.type is not CertificateType.IDENTITY_CARD:
        return None
    return identity_number.birth_date(certificate.number, today)


def written_name(name: str) -> str:
    """The name as it is kept: one Unicode form, no space around it."""
    return unicodedata.normalize("NFC", name).strip()


def comparable_name(name: str) -> str:
    """The name as it is compared: without spaces, every middle dot alike, letter case and width ignored."""
    folded = unicodedata.normalize("NFKC", name.translate(_DOTS)).casefold()
    return "".join(folded.split())


def is_name(name: str) -> bool:
    """Whether it can be a name at all: something to read, and nothing that only machines see."""
    categories = set(map(unicodedata.category, name))
    return not categories.isdisjoint(_LETTERS) and categories.isdisjoint(_SEEN_BY_MACHINES_ONLY)


def masked_name(name: str) -> str:
    """The name with all but the first character masked: `张*`; a name of one character is masked whole."""
    return "*" if len(name) < len("张*") else name[0] + "*" * (len(name) - 1)


def masked_number(number: str) -> str:
    """The number with the middle masked: `6527**********1234`; a short one shows a quarter at each end."""
    shown = min(_SHOWN_AT_MOST, len(number) // 4)
    return number[:shown] + "*" * (len(number) - 2 * shown) + number[len(number) - shown :]

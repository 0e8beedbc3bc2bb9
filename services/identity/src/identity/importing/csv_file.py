"""The register as a CSV file: the columns, and a row of each line."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from identity.domain.certificate import Certificate, CertificateType, written_name
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.register import RegisterRow, RowRefused, birth_date
from kit import csv_rows
from kit.csv_rows import Content, Encoding, FieldReader, LineRefused

V = TypeVar("V")

COLUMNS: Final = (
    *("psn_no", "psn_name", "psn_cert_type", "certno", "brdy", "tel", "card_sn"),
    *("insutype", "insuplc_admdvs", "psn_insu_stas", "arrears", "valid_from", "valid_to"),
)
"""The header, in any order; the national field names."""


def examine(path: Path, encoding: Encoding) -> Content:
    """See `kit.csv_rows.examine`."""
    return csv_rows.examine(path, encoding, COLUMNS)


def read(path: Path, encoding: Encoding, first_row: int = 1) -> Iterator[RegisterRow | RowRefused]:
    """The rows of an examined file, from a number on.

    Raises:
        UnusableFile: header or packing are broken.
    """
    places, lines = csv_rows.lines_from(path, encoding, COLUMNS, first_row)
    parser = RowParser(places, encoding)
    for line in lines:
        yield parser.row(line)


_PSN_NO: Final = re.compile(r"[0-9A-Za-z]{1,30}")
_CERTNO: Final = re.compile(r"[0-9A-Z]{4,32}")
_TEL: Final = re.compile(r"(\+?[0-9]{5,15})?")
_CARD_SN: Final = re.compile(r"[0-9A-Za-z]{0,32}")
_REGION: Final = re.compile(r"[1-9][0-9]{5}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MAX_NAME_CHARACTERS: Final = 50

_CERTIFICATE_TYPES: Final = {one.value: one for one in CertificateType}
_INSURANCE_TYPES: Final = {one.value: one for one in InsuranceType}
_STATUSES: Final = {one.value: one for one in InsuranceStatus}
_ARREARS: Final = {"": False, "0": False, "1": True}


class RowParser:
    """Makes rows of lines. Refuses what the contract of `ImportInsured` refuses, in words that name no value."""

    def __init__(self, places: tuple[int, ...], encoding: Encoding) -> None:
        self._reader = FieldReader(places, encoding)

    def row(self, line: bytes | None) -> RegisterRow | RowRefused:
        """The row on a line (None: a line that is too long), or why it cannot be read."""
        try:
            return self._row(self._reader.fields(line))
        except LineRefused as refusal:
            return RowRefused(str(refusal))
        except RowRefused as refusal:
            return refusal

    def _row(self, fields: list[str]) -> RegisterRow:
        psn_no, name, cert_type, certno, brdy, tel, card_sn, *enrolment = map(str.strip, fields)
        name = written_name(name)
        if not _PSN_NO.fullmatch(psn_no):
            raise RowRefused("psn_no must have 1 to 30 letters and digits")
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise RowRefused(f"psn_name must have 1 to {MAX_NAME_CHARACTERS} characters")
        certno, card_sn = certno.upper(), card_sn.upper()
        if not _CERTNO.fullmatch(certno):
            raise RowRefused("certno must have 4 to 32 letters and digits")
        if not _TEL.fullmatch(tel):
            raise RowRefused("tel must have 5 to 15 digits, with a leading + or without, or be empty")
        if not _CARD_SN.fullmatch(card_sn):
            raise RowRefused("card_sn must have at most 32 letters and digits")
        certificate = Certificate(_coded(_CERTIFICATE_TYPES, cert_type, "psn_cert_type"), certno)
        born = birth_date(_day(brdy, "brdy") if brdy else None, certificate)
        return RegisterRow(psn_no, name, certificate, born, _enrolment(tuple(enrolment)), tel, card_sn)


@lru_cache(maxsize=4096)  # a register has few different enrolments
def _enrolment(fields: tuple[str, ...]) -> Enrolment:
    insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to = fields
    if not _REGION.fullmatch(insuplc_admdvs):
        raise RowRefused("insuplc_admdvs must have six digits")
    if arrears not in _ARREARS:
        raise RowRefused("arrears must be 0 or 1; empty means 0")
    return Enrolment(
        _coded(_INSURANCE_TYPES, insutype, "insutype"),
        insuplc_admdvs,
        _coded(_STATUSES, psn_insu_stas, "psn_insu_stas"),
        _ARREARS[arrears],
        _day(valid_from, "valid_from"),
        _day(valid_to, "valid_to") if valid_to else None,
    )


def _coded(table: Mapping[str, V], code: str, column: str) -> V:
    try:
        return table[code]
    except KeyError:
        raise RowRefused(f"{column} must be one of {', '.join(table)}") from None


def _day(text: str, column: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise RowRefused(f"{column} is not a day of the calendar (YYYY-MM-DD)")

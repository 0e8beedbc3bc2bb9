"""Made-up persons and institutions with numbers that pass every check and are fresh in every run."""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from typing import Final

from gongji.identity.v1 import institution_pb2, person_pb2

HOME_ADMDVS: Final = "652701"
"""Bole, in the reference region."""

# GB 11643-1999 with ISO 7064 MOD 11-2: the weight of each of the first 17 digits, and the character of each remainder.
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS: Final = "10X98765432"
# Provinces of GB/T 2260 where identity numbers of made-up persons were issued; the county is any number.
_PROVINCES: Final = ("11", "23", "32", "37", "41", "44", "51", "53", "61", "62", "64", "65")
_COUNTIES: Final = 10_000
_SEQUENCES: Final = 1000
_SERIAL_DIGITS: Final = 16
_INSTITUTION_DIGITS: Final = 7
_random = random.SystemRandom()
# One after the other from a random start: no two are alike in a run, and two runs hardly ever meet.
_people = count(_random.randrange(len(_PROVINCES) * _COUNTIES * _SEQUENCES))
_institutions = count(_random.randrange(10**_INSTITUTION_DIGITS))


def identity_number(issued_at: str, born: date, sequence: int) -> str:
    """The identity number (GB 11643-1999) of the `sequence`-th person (0 to 999) born there on that day."""
    digits = f"{issued_at}{born:%Y%m%d}{sequence:03}"
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=True))
    return digits + _CHECK_CHARACTERS[total % len(_CHECK_CHARACTERS)]


@dataclass(frozen=True, slots=True)
class Insured:
    """A person of the register of insured persons, with made-up name and numbers."""

    psn_no: str
    psn_name: str = field(repr=False)
    certno: str = field(repr=False)
    born: date
    insutype: person_pb2.InsuranceType.ValueType
    admdvs: str = HOME_ADMDVS
    insured_from: date = date(2020, 1, 1)
    tel: str = field(default_factory=lambda: f"100{_digits(8)}", repr=False)
    """On file; one-time codes go there."""

    @property
    def certificate(self) -> person_pb2.PersonCertificate:
        """The identity card."""
        return person_pb2.PersonCertificate(
            psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD, certno=self.certno
        )

    def enrolment(
        self,
        *,
        psn_insu_stas: person_pb2.InsuranceStatus.ValueType = person_pb2.INSURANCE_STATUS_NORMAL,
        arrears: bool = False,
        valid_from: date | None = None,
    ) -> person_pb2.Enrolment:
        """An enrolment of this person, in normal standing unless something else is asked for."""
        return person_pb2.Enrolment(
            insutype=self.insutype,
            insuplc_admdvs=self.admdvs,
            psn_insu_stas=psn_insu_stas,
            arrears=arrears,
            valid_from=(valid_from or max(self.insured_from, self.born)).isoformat(),
        )

    def row(self) -> person_pb2.InsuredRow:
        """The row of the register."""
        return person_pb2.InsuredRow(
            psn_no=self.psn_no,
            psn_name=self.psn_name,
            certificate=self.certificate,
            brdy=self.born.isoformat(),
            tel=self.tel,
            enrolment=self.enrolment(),
        )


def insured(
    psn_name: str, born: date, insutype: person_pb2.InsuranceType.ValueType, *, admdvs: str = HOME_ADMDVS
) -> Insured:
    """A new person with fresh numbers."""
    place, sequence = divmod(next(_people), _SEQUENCES)
    county, province = place % _COUNTIES, _PROVINCES[place // _COUNTIES % len(_PROVINCES)]
    return Insured(
        psn_no=admdvs + _digits(_SERIAL_DIGITS),
        psn_name=psn_name,
        certno=identity_number(f"{province}{county:04}", born, sequence),
        born=born,
        insutype=insutype,
        admdvs=admdvs,
    )


def born_between(first: date, last: date) -> date:
    """A random birthday, both ends included."""
    return first + timedelta(days=_random.randrange((last - first).days + 1))


def institution(
    fixmedins_name: str,
    *,
    admdvs: str = HOME_ADMDVS,
    fixmedins_type: institution_pb2.InstitutionType.ValueType = institution_pb2.INSTITUTION_TYPE_MEDICAL,
    designated: bool = True,
    remote_settlement: bool = True,
) -> institution_pb2.Institution:
    """An institution with a fresh fixmedins_code, designated since 2020 unless asked otherwise."""
    letter = "P" if fixmedins_type == institution_pb2.INSTITUTION_TYPE_PHARMACY else "H"
    return institution_pb2.Institution(
        fixmedins_code=f"{letter}{admdvs[:4]}{next(_institutions) % 10**_INSTITUTION_DIGITS:0{_INSTITUTION_DIGITS}}",
        fixmedins_name=fixmedins_name,
        fixmedins_type=fixmedins_type,
        admdvs=admdvs,
        designated_from="2020-01-01" if designated else "",
        remote_settlement=remote_settlement,
    )


def _digits(count: int) -> str:
    return "".join(_random.choices("0123456789", k=count))

"""The family and the hospital of one run: made up, valid, never the same twice."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from gongji.identity.v1 import institution_pb2, person_pb2
from gongji_local.client.persons import Insured, born_between, institution, insured

FATHERS_NAME: Final = "张建国"
CHILDS_NAME: Final = "张小宝"
HOSPITALS_NAME: Final = "博乐市人民医院"
DAYS_A_YEAR: Final = 365


@dataclass(frozen=True, slots=True)
class World:
    """Who takes part."""

    today: date
    """The services' day, Asia/Shanghai."""
    father: Insured
    """Insured under 310: the payer (授权人)."""
    child: Insured
    """Insured under 390, a minor: the beneficiary (使用人)."""
    hospital: institution_pb2.Institution

    @property
    def rows(self) -> list[person_pb2.InsuredRow]:
        """Both in the register of insured persons."""
        return [self.father.row(), self.child.row()]


def made_up(today: date) -> World:
    """A new family on this day: a father of about forty, a child of about ten."""
    return World(
        today=today,
        father=insured(FATHERS_NAME, _born(today, 36, 44), person_pb2.INSURANCE_TYPE_EMPLOYEE),
        child=insured(CHILDS_NAME, _born(today, 7, 13), person_pb2.INSURANCE_TYPE_RESIDENT),
        hospital=institution(HOSPITALS_NAME),
    )


def _born(today: date, youngest: int, oldest: int) -> date:
    return born_between(
        today - timedelta(days=oldest * DAYS_A_YEAR),
        today - timedelta(days=youngest * DAYS_A_YEAR),
    )

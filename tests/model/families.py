"""The families of a history: who pays for whom on the real stack, and the same as the plain model has it."""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final
from uuid import UUID

import asyncpg
from support.ledger_model import WINDOWS, Account, Ledger, Relation, Terms

from gongji.identity.v1 import institution_pb2, person_pb2, visit_pb2
from gongji_local.client import Connections, Operator
from gongji_local.client.persons import institution
from gongji_local.stack import Stack
from kit.signing import TokenSigner

HOSPITALS: Final = 2
CREDENTIAL_LASTS: Final = timedelta(hours=2)
RUNS_OUT: Final = date(2025, 6, 10)
LASTS: Final = date(2026, 12, 31)
PREMIUMS: Final = {
    2025: Terms(200, date(2025, 1, 1), date(2025, 12, 31)),
    2026: Terms(250, date(2025, 6, 1), date(2025, 6, 10)),
}

_PERSONS = """
INSERT INTO person (psn_no, brdy, verified_at)
SELECT psn_no, CASE insutype WHEN '310' THEN '1980-01-01' ELSE '2015-01-01' END::date, now()
FROM unnest($1::text[], $2::text[]) AS t (psn_no, insutype);
"""
_ENROLMENTS = """
INSERT INTO person_enrolment (psn_no, sequence, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from)
SELECT psn_no, 1, insutype, '652701', 1, false, '2020-01-01' FROM unnest($1::text[], $2::text[]) AS t (psn_no, insutype)
"""
_RELATIONS = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::date[], $6::bigint[], $7::bigint[],
                         $8::bigint[], $9::bigint[], $10::bigint[])
        AS t (id, payer, patient, priority, valid_to, settlement_fen, day_fen, month_fen, year_fen, total_fen)
), applied AS (
    INSERT INTO application (application_id, applicant, request_id, body_hash, payer_psn_no, beneficiary_psn_no,
                             relationship, settlement_fen, day_fen, month_fen, year_fen, total_fen, valid_to, priority,
                             pledge_version, state)
    SELECT id, 'history', id, '', payer, patient, 'CHILD', settlement_fen, day_fen, month_fen, year_fen, total_fen,
           valid_to, priority, 'history', 'DRAFT'
    FROM asked
)
INSERT INTO relation (relation_id, application_id, payer_psn_no, beneficiary_psn_no, relationship, priority,
                      settlement_fen, day_fen, month_fen, year_fen, total_fen, valid_from, valid_to, approved_at, state)
SELECT id, id, payer, patient, 'CHILD', priority, settlement_fen, day_fen, month_fen, year_fen, total_fen, '2020-01-01',
       valid_to, '2020-01-01', 'ACTIVE'
FROM asked
"""
_FACTS = """
WITH told AS (
    INSERT INTO person_fact (psn_no, sequence, as_of) SELECT psn_no, 1, now() FROM unnest($1::text[]) AS t (psn_no)
    RETURNING psn_no
)
INSERT INTO person_enrolment (psn_no, valid_from, insutype, insuplc_admdvs, psn_insu_stas, arrears, as_of, sequence)
SELECT psn_no, '2020-01-01', insutype::int, '652701', 1, false, now(), 1
FROM unnest($1::text[], $2::text[]) AS t (psn_no, insutype)
"""


@dataclass(frozen=True)
class Families:
    """Everybody, by psn_no."""

    employees: list[str]
    """They have accounts, and some are patients, too."""
    residents: list[str]
    relations: list[Relation]
    relation_ids: list[UUID]
    """In the same order."""
    money: Mapping[str, int]
    hospitals: list[str]
    credentials: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """By visit, hospital and patient."""

    @property
    def patients(self) -> list[str]:
        """Whoever somebody pays for."""
        return sorted({each.patient for each in self.relations})

    @property
    def no_patients(self) -> list[str]:
        """Employees for whom nobody pays."""
        return [each for each in self.employees if each not in self.patients]

    def ledger(self) -> Ledger:
        """The model before anything happens."""
        ledger = Ledger()
        ledger.accounts = {psn_no: Account(self.money[psn_no]) for psn_no in self.employees}
        ledger.relations = [Relation(r.payer, r.patient, dict(r.limits), r.valid_to) for r in self.relations]
        ledger.residents = set(self.residents)
        ledger.terms = dict(PREMIUMS)
        return ledger


def invent(chance: random.Random, count: int) -> Families:
    """So many families; a grandfather pays for a child in each of them."""
    tag = f"M{uuid.uuid4().hex[:10].upper()}"
    employees, residents, relations = [f"{tag}G"], list[str](), list[Relation]()
    for number in range(count):
        father, mother, child, baby = (f"{tag}{role}{number}" for role in ("F", "M", "C", "B"))
        employees += [father, mother]
        residents += [child, baby]
        pairs = ((father, child), (mother, child), (employees[0], child), (mother, baby), (father, mother))
        relations += [_relation(chance, payer, patient, f"{tag}M" in payer) for payer, patient in pairs]
    money = {psn_no: chance.randint(500, 4_000) for psn_no in employees}
    hospitals = [institution("测试医院").fixmedins_code for _ in range(HOSPITALS)]
    return Families(employees, residents, relations, [uuid.uuid4() for _ in relations], money, hospitals)


def _relation(chance: random.Random, payer: str, patient: str, runs_out: bool) -> Relation:  # noqa: FBT001 - one place
    valid_to = RUNS_OUT if runs_out and chance.random() < 0.5 else LASTS
    return Relation(payer, patient, some_limits(chance), valid_to)


def some_limits(chance: random.Random) -> dict[str, int]:
    """One to three windows; some are soon used up."""
    return {window: chance.randint(1, 2_500) for window in chance.sample(WINDOWS, chance.randint(1, 3))}


async def settle_down(stack: Stack, connections: Connections, families: Families) -> None:
    """Relations as approvals leave them; accounts opened and filled through settlement itself."""
    everybody = [*families.employees, *families.residents]
    insutypes = ["310"] * len(families.employees) + ["390"] * len(families.residents)
    binding = await asyncpg.connect(stack.info.database_url("binding"))
    settlement = await asyncpg.connect(stack.info.database_url("settlement"))
    try:
        await binding.execute(_PERSONS, everybody, insutypes)
        await binding.execute(_ENROLMENTS, everybody, insutypes)
        await binding.execute(_RELATIONS, *_columns(families))
        await settlement.execute(_FACTS, everybody, insutypes)
    finally:
        await binding.close()
        await settlement.close()
    operator = Operator(connections)
    for psn_no, amount in families.money.items():
        await operator.open_account(psn_no)
        await operator.record_contribution(psn_no, f"opening.{psn_no}", amount)
    for year, terms in PREMIUMS.items():
        await operator.set_premium(year, terms.amount, f"{terms.collect_from}", f"{terms.collect_to}")


def _columns(families: Families) -> list[list[object]]:
    rows = [
        (relation_id, each.payer, each.patient, priority, each.valid_to, *(each.limits.get(it) for it in WINDOWS))
        for priority, (relation_id, each) in enumerate(
            zip(families.relation_ids, families.relations, strict=True), start=1
        )
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def employed(*, arrears: bool = False) -> person_pb2.Enrolment:
    """An employee's enrolment."""
    return _enrolled(person_pb2.INSURANCE_TYPE_EMPLOYEE, arrears=arrears)


def _resident() -> person_pb2.Enrolment:
    return _enrolled(person_pb2.INSURANCE_TYPE_RESIDENT)


def _enrolled(insutype: "person_pb2.InsuranceType.ValueType", *, arrears: bool = False) -> person_pb2.Enrolment:
    return person_pb2.Enrolment(
        insutype=insutype,
        insuplc_admdvs="652701",
        psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
        valid_from="2020-01-01",
        arrears=arrears,
    )


def sign_credentials(stack: Stack, families: Families, visit: str) -> None:
    """What identity would have signed for a visit of every patient at every hospital, now."""
    signer, now = TokenSigner(stack.info.credential_keyring_file), stack.now()
    facts = visit_pb2.VisitFacts(
        fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
        mdtrtarea_admvs="652701",
        designated=True,
        remote_settlement=True,
        audience="settlement",
    )
    facts.issued_at.FromDatetime(now)
    facts.expires_at.FromDatetime(now + CREDENTIAL_LASTS)
    for hospital in families.hospitals:
        for patient in families.patients:
            facts.jti, facts.psn_no, facts.fixmedins_code = str(uuid.uuid4()), patient, hospital
            facts.enrolment.CopyFrom(employed() if patient in families.employees else _resident())
            token = signer.sign(facts.SerializeToString(deterministic=True))
            families.credentials[visit, hospital, patient] = token

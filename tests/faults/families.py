"""The families of `make faults`: payers with money, patients with one payer each and limits of every kind of window."""

from dataclasses import dataclass
from typing import Final

import asyncpg
from bench.settle_world import HOSPITAL, Patient, patients

from gongji_local.client import Connections, Operator
from gongji_local.stack import Stack

__all__ = ["HOSPITAL", "Families", "Patient", "make_families"]

PAYERS: Final = 12
PATIENTS: Final = 120
LIMIT_FEN: Final = 3_000
"""Of a year, for all of them."""
SMALLER_FEN: Final = (500, 900, 1_800, 2_600)
"""Of a settlement, a day, a month, in total: one patient in four each has one of them besides."""
OPENING_FEN: Final = 25_000
"""Less than the limits of ten patients together: sometimes the money ends first."""
OWN_EVERY: Final = 5
"""One patient in so many has an account of the patient's own."""
OWN_FEN: Final = 4_000
PREMIUM_FEN: Final = 400

_SMALLER: Final = ", ".join(
    f"CASE right(beneficiary_psn_no, 8)::int / {PAYERS} % 4 WHEN {place} THEN {fen} END"
    for place, fen in enumerate(SMALLER_FEN)
)
_BINDING: Final = f"""
INSERT INTO person (psn_no, brdy, verified_at)
SELECT 'F' || lpad(n::text, 8, '0'), '1980-01-01'::date, now() FROM generate_series(0, {PAYERS - 1}) AS n
UNION ALL
SELECT 'P' || lpad(n::text, 8, '0'), '2010-01-01'::date, now() FROM generate_series(0, {PATIENTS - 1}) AS n;
INSERT INTO person_enrolment (psn_no, sequence, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from)
SELECT psn_no, 1, CASE left(psn_no, 1) WHEN 'F' THEN '310' ELSE '390' END, '652701', 1, false, '2020-01-01' FROM person;
INSERT INTO application
    (application_id, applicant, request_id, body_hash, payer_psn_no, beneficiary_psn_no, relationship, year_fen,
     valid_to, priority, pledge_version, state)
SELECT gen_random_uuid(), 'faults', gen_random_uuid(), '',
       'F' || lpad((right(psn_no, 8)::int % {PAYERS})::text, 8, '0'), psn_no, 'CHILD', {LIMIT_FEN},
       '2099-12-31', 0, 'faults', 'DRAFT'
FROM person WHERE psn_no LIKE 'P%';
INSERT INTO relation
    (relation_id, application_id, payer_psn_no, beneficiary_psn_no, relationship, priority, year_fen, valid_from,
     valid_to, approved_at, state, settlement_fen, day_fen, month_fen, total_fen)
SELECT gen_random_uuid(), application_id, payer_psn_no, beneficiary_psn_no, 'CHILD', 1, year_fen, '2020-01-01',
       '2099-12-31', now(), 'ACTIVE', {_SMALLER}
FROM application;
"""  # noqa: S608 - constants of this file

_FACTS: Final = (
    "INSERT INTO person_fact (psn_no, sequence, as_of) SELECT psn_no, 1, now() FROM unnest($1::text[]) AS psn_no"
)
_ENROLMENTS: Final = """
INSERT INTO person_enrolment (psn_no, valid_from, insutype, insuplc_admdvs, psn_insu_stas, arrears, as_of, sequence)
SELECT psn_no, '2020-01-01', $2, '652701', 1, false, now(), 1 FROM unnest($1::text[]) AS psn_no
"""
EMPLOYEES: Final = 310
RESIDENTS: Final = 390


@dataclass(frozen=True, slots=True)
class Families:
    """Who there is."""

    patients: list[Patient]
    years: tuple[int, ...]
    """Whose premiums are collected."""

    @staticmethod
    def payer_of(patient: Patient) -> str:
        """The one who pays for this patient."""
        return f"F{int(patient.psn_no[1:]) % PAYERS:08d}"


async def make_families(stack: Stack) -> Families:
    """Relations as approvals leave them; accounts opened and filled through settlement itself."""
    of_payers = {f"F{number:08d}": OPENING_FEN for number in range(PAYERS)}
    money = of_payers | {f"P{number:08d}": OWN_FEN for number in range(0, PATIENTS, OWN_EVERY)}
    await _execute(stack, "binding", _BINDING)
    residents = [psn_no for number in range(PATIENTS) if (psn_no := f"P{number:08d}") not in money]
    for persons, insutype in ((list(money), EMPLOYEES), (residents, RESIDENTS)):
        await _execute(stack, "settlement", _FACTS, persons)
        await _execute(stack, "settlement", _ENROLMENTS, persons, insutype)
    year = stack.now().year
    async with Connections(stack) as connections:
        operator = Operator(connections)
        for psn_no, opening_fen in money.items():
            await operator.open_account(psn_no)
            await operator.record_contribution(psn_no, f"opening.{psn_no}", opening_fen)
        for each in (years := (year, year + 1)):
            await operator.set_premium(each, PREMIUM_FEN, f"{each - 1}-01-01", f"{each}-12-31")
    return Families(patients(stack.info.credential_keyring_file, "P", PATIENTS), years)


async def _execute(stack: Stack, service: str, script: str, *arguments: object) -> None:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        await connection.execute(script, *arguments)
    finally:
        await connection.close()

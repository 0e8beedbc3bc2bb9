"""The families of `make faults`: payers with money, patients with one payer and a limit of a year each."""

from dataclasses import dataclass
from typing import Final

import asyncpg
from bench.settle_world import HOSPITAL, Patient, patients

from gongji_local.client import Connections, Operator
from gongji_local.stack import Stack

__all__ = ["HOSPITAL", "LIMIT_FEN", "OPENING_FEN", "PATIENTS", "PAYERS", "Patient", "make_families"]

PAYERS: Final = 12
PATIENTS: Final = 120
LIMIT_FEN: Final = 3_000
OPENING_FEN: Final = 25_000
"""Less than the limits of ten patients together: sometimes the money ends first."""

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
     valid_to, approved_at, state)
SELECT gen_random_uuid(), application_id, payer_psn_no, beneficiary_psn_no, 'CHILD', 1, year_fen, '2020-01-01',
       '2099-12-31', now(), 'ACTIVE'
FROM application;
"""  # noqa: S608 - constants of this file

_SETTLEMENT: Final = f"""
INSERT INTO person_fact (psn_no, sequence, as_of)
SELECT 'F' || lpad(n::text, 8, '0'), 1, now() FROM generate_series(0, {PAYERS - 1}) AS n;
INSERT INTO person_enrolment (psn_no, valid_from, insutype, insuplc_admdvs, psn_insu_stas, arrears, as_of, sequence)
SELECT psn_no, '2020-01-01', 310, '652701', 1, false, now(), 1 FROM person_fact;
"""  # noqa: S608 - constants of this file


@dataclass(frozen=True, slots=True)
class Families:
    """Who there is."""

    patients: list[Patient]


async def make_families(stack: Stack) -> Families:
    """Relations as approvals leave them; accounts opened and filled through settlement itself."""
    for service, script in (("binding", _BINDING), ("settlement", _SETTLEMENT)):
        connection = await asyncpg.connect(stack.info.database_url(service))
        try:
            await connection.execute(script)
        finally:
            await connection.close()
    async with Connections(stack) as connections:
        operator = Operator(connections)
        for number in range(PAYERS):
            psn_no = f"F{number:08d}"
            await operator.open_account(psn_no)
            await operator.record_contribution(psn_no, f"opening.{psn_no}", OPENING_FEN)
    return Families(patients(stack.info.credential_keyring_file, "P", PATIENTS))

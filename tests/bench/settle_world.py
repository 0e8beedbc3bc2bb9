"""The world of `make bench`: accounts, families and credentials, and the settlement statements as SQL functions."""

import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from gongji.identity.v1 import institution_pb2, person_pb2, visit_pb2
from gongji.settlement.v1 import settlement_pb2
from kit.signing import TokenSigner

HOSPITAL: Final = "H65270100001"
PAYERS: Final = 10_000
PATIENTS: Final = 100_000
"""Ten for each payer: in minutes of load nobody is ill more often than in a year."""
HOT_PATIENTS: Final = 20_000
"""They share one payer more."""
GROWN_ACCOUNTS: Final = int(os.environ.get("GROW_ACCOUNTS") or "1000000")
"""What GROW adds to the accounts that were there."""
GROWN_PATIENTS: Final = min(PATIENTS, GROWN_ACCOUNTS)
"""Each is paid for by another one of these accounts."""
NEED_FEN: Final = 100

# Each row of `family` is a relation. Payers are adults with an account, patients are children.
_FAMILIES: Final = """
CREATE TEMPORARY TABLE family AS {families};
CREATE TEMPORARY TABLE member AS
SELECT DISTINCT payer AS psn_no, '1980-01-01'::date AS brdy, '310' AS insutype FROM family
UNION ALL SELECT patient, '2010-01-01', '390' FROM family;
INSERT INTO person (psn_no, brdy, verified_at) SELECT psn_no, brdy, now() FROM member;
INSERT INTO person_enrolment (psn_no, sequence, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from)
SELECT psn_no, 1, insutype, '652701', 1, false, '2020-01-01' FROM member;
WITH applied AS (
    INSERT INTO application
        (application_id, applicant, request_id, body_hash, payer_psn_no, beneficiary_psn_no, relationship, year_fen,
         valid_to, priority, pledge_version, state)
    SELECT gen_random_uuid(), 'bench', gen_random_uuid(), '', payer, patient, 'CHILD', 9000000000000, '2099-12-31', 0,
           'bench', 'DRAFT'
    FROM family
    RETURNING application_id, payer_psn_no, beneficiary_psn_no, year_fen
)
INSERT INTO relation
    (relation_id, application_id, payer_psn_no, beneficiary_psn_no, relationship, priority, year_fen, valid_from,
     valid_to, approved_at, state)
SELECT gen_random_uuid(), application_id, payer_psn_no, beneficiary_psn_no, 'CHILD', 1, year_fen, '2020-01-01',
       '2099-12-31', now(), 'ACTIVE'
FROM applied;
"""
# Numbers as a region would give them: psn_no F00000001 pays for P00000001, P00010001, …; the hot payer for all of H.
_AT_FIRST: Final = f"""
SELECT 'F' || lpad((n % {PAYERS})::text, 8, '0') AS payer, 'P' || lpad(n::text, 8, '0') AS patient
FROM generate_series(0, {PATIENTS - 1}) AS n
UNION ALL SELECT 'F' || lpad('{PAYERS}', 8, '0'), 'H' || lpad(n::text, 8, '0')
FROM generate_series(0, {HOT_PATIENTS - 1}) AS n
"""  # noqa: S608 - constants of this file
# Payers that lie all over the accounts that growing adds, G00000000, G00000010, …; each has one patient.
_GROWN: Final = f"""
SELECT 'G' || lpad((n * {GROWN_ACCOUNTS // GROWN_PATIENTS})::text, 8, '0') AS payer,
       'Q' || lpad(n::text, 8, '0') AS patient
FROM generate_series(0, {GROWN_PATIENTS - 1}) AS n
"""  # noqa: S608 - constants of this file

_CEILING: Final = f"""
CREATE FUNCTION bench_intents(batch integer, first integer, run bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO settlement (
        id, fixmedins_code, msgid, hash_version, body_hash, state, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
        fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid,
        insutype, clr_type, occurred_at)
    SELECT md5(run || '.' || i)::uuid, 'H65270100002', 'B' || run || '.' || i, 1, '\\x00', 'PENDING',
           'B' || (first + i * 7919) % {PATIENTS}, 'visit', 11, {NEED_FEN}, 0, {NEED_FEN}, 0, '{{"items": []}}', true,
           true, 390, 11, now()
    FROM generate_series(1, batch) AS i
    ORDER BY 7
    ON CONFLICT DO NOTHING
$$;
CREATE FUNCTION bench_settle(batch integer, first integer, run bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE ids uuid[]; payers text[];
BEGIN
    ids := array(SELECT id FROM settlement WHERE id = ANY (array(
        SELECT md5(run || '.' || i)::uuid FROM generate_series(1, batch) AS i)) AND state = 'PENDING'
        ORDER BY id FOR UPDATE);
    payers := array(SELECT 'F' || lpad(((first + i * 7919) % {PAYERS})::text, 8, '0')
                    FROM generate_series(1, coalesce(cardinality(ids), 0)) AS i);
    PERFORM 1 FROM account WHERE psn_no = ANY (payers) ORDER BY psn_no FOR UPDATE;
    PERFORM 1 FROM business_day WHERE day = '2025-01-01' FOR SHARE;
    WITH paid AS (SELECT psn_no, count(*) AS n FROM unnest(payers) AS psn_no GROUP BY psn_no),
    debited AS (
        UPDATE account AS a SET balance_fen = balance_fen - {NEED_FEN} * n, version = version + n
        FROM paid AS p WHERE a.psn_no = p.psn_no
        RETURNING a.psn_no, a.balance_fen, a.version
    ), line AS (
        INSERT INTO settlement_line (settlement_id, position, payer_psn_no, relation_id, amount_fen, balance_after_fen)
        SELECT id, 0, payer, id, {NEED_FEN}, 1 FROM unnest(ids, payers) AS t (id, payer)
    ), entries AS (
        -- Balances are not chained here: the version is made unique, which costs the index the same.
        INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                           settlement_id, patient_psn_no, fixmedins_code, posted_at, business_day)
        SELECT id, k.kind, CASE k.kind WHEN 'PERSONAL' THEN 'X' || id ELSE 'H65270100002' END,
               CASE k.kind WHEN 'PERSONAL' THEN -{NEED_FEN} ELSE {NEED_FEN} END,
               CASE k.kind WHEN 'PERSONAL' THEN 1 END, CASE k.kind WHEN 'PERSONAL' THEN 1 END, 'SETTLEMENT', id,
               'B', 'H65270100002', now(), '2025-01-01'
        FROM unnest(ids) AS id, unnest(ARRAY['PERSONAL', 'CLEARING']) AS k (kind)
    ), told AS (
        INSERT INTO outbox_event (event_id, topic, key, type, source, subject, payload, occurred_at, sequence, epoch)
        SELECT gen_random_uuid(), t.topic, id, t.topic, 'bench', id, decode(repeat('00', 220), 'hex'), now(), 1, 1
        FROM unnest(ids) AS id, unnest(ARRAY['settlement-events-v1', 'account-events-v1']) AS t (topic)
        RETURNING id
    ), unsent AS (
        INSERT INTO bench_unsent SELECT id FROM told
    )
    UPDATE settlement SET state = 'SETTLED', setl_time = now(), business_day = '2025-01-01', acct_pay_fen = 0,
           acct_mulaid_pay_fen = {NEED_FEN}, psn_cash_pay_fen = 0, updated_at = now()
    WHERE id = ANY (ids);
END $$;
CREATE TABLE bench_unsent (id bigint PRIMARY KEY);
INSERT INTO business_day (day) VALUES ('2025-01-01') ON CONFLICT DO NOTHING;
"""  # noqa: S608 - constants of this file


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody who is ill, with what identity has signed."""

    psn_no: str
    credential: str


async def make_families(binding_url: str, *, grown: bool = False) -> None:
    """Relations with one payer each, in binding's database: those of the beginning, or those that growing adds."""
    connection = await asyncpg.connect(binding_url)
    try:
        await connection.execute(_FAMILIES.format(families=_GROWN if grown else _AT_FIRST))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def make_ceiling(settlement_url: str) -> None:
    """The statements of both transactions as two functions, which pgbench calls."""
    connection = await asyncpg.connect(settlement_url)
    try:
        await connection.execute(_CEILING)
    finally:
        await connection.close()


def patients(keyring: Path, prefix: str, count: int) -> list[Patient]:
    """Patients with credentials for the hospital, good for two hours."""
    signer, now = TokenSigner(keyring), datetime.now(UTC)
    facts = visit_pb2.VisitFacts(
        fixmedins_code=HOSPITAL,
        fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
        mdtrtarea_admvs="652701",
        designated=True,
        remote_settlement=True,
        audience="settlement",
        enrolment=person_pb2.Enrolment(
            insutype=person_pb2.INSURANCE_TYPE_RESIDENT,
            insuplc_admdvs="652701",
            psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
            valid_from="2020-01-01",
        ),
    )
    facts.issued_at.FromDatetime(now)
    facts.expires_at.FromDatetime(now + timedelta(hours=2))
    made = []
    for number in range(count):
        facts.jti, facts.psn_no = str(uuid.uuid4()), f"{prefix}{number:08d}"
        made.append(Patient(facts.psn_no, signer.sign(facts.SerializeToString(deterministic=True))))
    return made


class Requests:
    """Settle requests that were never sent before, one after the other."""

    def __init__(self, of: list[Patient], stride: int = 7_919) -> None:
        self._patients = of
        self._stride = stride
        self._next = 0
        self._second = datetime.now(UTC)

    def one(self) -> settlement_pb2.SettleRequest:
        """The next."""
        self._next += 1
        patient = self._patients[self._next * self._stride % len(self._patients)]
        at = self._second + timedelta(seconds=self._next // 10_000)
        return settlement_pb2.SettleRequest(
            fixmedins_code=HOSPITAL,
            msgid=f"{HOSPITAL}{at:%Y%m%d%H%M%S}{self._next % 10_000:04d}",
            bill=settlement_pb2.Bill(
                psn_no=patient.psn_no,
                mdtrt_id=f"V{patient.psn_no}",
                med_type=settlement_pb2.MEDICAL_TYPE_OUTPATIENT,
                medfee_sumamt=2 * NEED_FEN,
                fund_pay_sumamt=NEED_FEN,
                psn_part_amt=NEED_FEN,
                items=[settlement_pb2.BillItem(kind=settlement_pb2.ITEM_KIND_DRUG, amount=2 * NEED_FEN)],
            ),
            visit_credential=patient.credential,
            acct_used_flag=True,
            use_mutual_aid=True,
        )

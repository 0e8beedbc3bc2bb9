"""The world of `make bench-authorize`: families in binding's database, and the same work as one SQL function."""

import asyncpg

PATIENTS = 20_000
HOT = "P00000000"
"""The patient of the hot relation."""
STRIDE = 7_919
"""A prime: a batch that starts anywhere and goes on in such steps has no patient twice."""
NEED_FEN = 100

_FAMILIES = f"""
INSERT INTO person (psn_no, brdy, verified_at)
SELECT role || lpad(n::text, 8, '0'), '1990-01-01', now()
FROM generate_series(0, {PATIENTS - 1}) AS n, unnest(ARRAY['P', 'F']) AS role;
INSERT INTO person_enrolment (psn_no, sequence, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from)
SELECT psn_no, 1, CASE left(psn_no, 1) WHEN 'F' THEN '310' ELSE '390' END, '652701', 1, false, '2020-01-01' FROM person;
INSERT INTO application
    (application_id, applicant, request_id, body_hash, payer_psn_no, beneficiary_psn_no, relationship, year_fen,
     valid_to, priority, pledge_version, state)
SELECT gen_random_uuid(), 'bench', gen_random_uuid(), '', 'F' || right(psn_no, 8), psn_no, 'CHILD', 9000000000000,
       '2099-12-31', 0, 'bench', 'DRAFT'
FROM person WHERE psn_no LIKE 'P%';
INSERT INTO relation
    (relation_id, application_id, payer_psn_no, beneficiary_psn_no, relationship, priority, year_fen, valid_from,
     valid_to, approved_at, state)
SELECT gen_random_uuid(), application_id, payer_psn_no, beneficiary_psn_no, 'CHILD', 1, year_fen, '2020-01-01',
       '2099-12-31', now(), 'ACTIVE'
FROM application;
"""  # noqa: S608 - constants of this file

_CEILING = f"""
CREATE FUNCTION bench_authorize(batch integer, hot boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first integer := floor(random() * {PATIENTS});
    today date := (now() AT TIME ZONE 'Asia/Shanghai')::date;
    asked text[];
    ids uuid[];
BEGIN
    asked := array(SELECT 'P' || lpad(((first + i * {STRIDE}) % {PATIENTS})::text, 8, '0')
                   FROM generate_series(1, batch) AS i);
    IF hot THEN
        asked := array_remove(asked, '{HOT}');
        asked[1] := '{HOT}';
    END IF;
    ids := array(SELECT gen_random_uuid() AS id FROM unnest(asked) ORDER BY id);
    PERFORM 1 FROM relation WHERE beneficiary_psn_no = ANY (asked) ORDER BY relation_id FOR NO KEY UPDATE;
    WITH granted AS (
        SELECT t.id, t.patient, r.relation_id, r.open_day = today AS same_day,
               date_trunc('month', r.open_day) = date_trunc('month', today) AS same_month,
               date_trunc('year', r.open_day) = date_trunc('year', today) AS same_year,
               least({NEED_FEN}, coalesce(r.year_fen - r.year_used_fen - r.year_held_fen, {NEED_FEN})) AS granted_fen
        FROM unnest(ids, asked) AS t (id, patient) JOIN relation AS r ON r.beneficiary_psn_no = t.patient
        WHERE r.state = 'ACTIVE' AND today BETWEEN r.valid_from AND r.valid_to
          AND NOT EXISTS (SELECT FROM person AS d
                          WHERE d.psn_no IN (r.payer_psn_no, r.beneficiary_psn_no) AND d.died_on IS NOT NULL)
          AND NOT EXISTS (SELECT FROM person_enrolment AS e
                          WHERE e.psn_no = r.payer_psn_no AND e.valid_from <= today AND e.arrears)
    ), made AS (
        INSERT INTO authorization_record (
            authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, relation_ids, granted_fen, reasons,
            windows, held_fen, used_fen)
        SELECT id, 'HELD', patient, now(), today, ARRAY[relation_id], ARRAY[granted_fen], ARRAY[NULL], ARRAY[NULL],
               ARRAY[granted_fen], ARRAY[0]
        FROM granted ON CONFLICT DO NOTHING
    )
    UPDATE relation AS r SET
        open_day = today, day_held_fen = g.granted_fen + CASE WHEN g.same_day THEN r.day_held_fen ELSE 0 END,
        month_held_fen = g.granted_fen + CASE WHEN g.same_month THEN r.month_held_fen ELSE 0 END,
        year_held_fen = g.granted_fen + CASE WHEN g.same_year THEN r.year_held_fen ELSE 0 END,
        total_held_fen = g.granted_fen + r.total_held_fen
    FROM granted AS g WHERE g.relation_id = r.relation_id;
END
$$
"""  # noqa: S608 - constants of this file


_HISTORY = f"""
SELECT bench_authorize(250, false) FROM generate_series(1, {PATIENTS // 250});
"""  # noqa: S608 - constants of this file


async def make_world(url: str) -> None:
    """Families, each with one payer and one limit, the function, and a history.

    Plans that were made on empty tables are slow ones, and a service keeps its plans.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_FAMILIES)
        await connection.execute(_CEILING)
        await connection.execute(_HISTORY)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def is_sound(url: str) -> bool:
    """Whether every counter is the sum of its lines: a fast answer that is wrong is none."""
    connection = await asyncpg.connect(url)
    try:
        wrong = await connection.fetchval(
            "SELECT count(*) FROM limit_counter AS c JOIN (SELECT relation_id, sum(held_fen) AS held_fen"
            " FROM authorization_line GROUP BY 1) AS l USING (relation_id)"
            " WHERE c.window_kind = 'TOTAL' AND c.held_fen <> l.held_fen"
        )
    finally:
        await connection.close()
    return bool(wrong == 0)


def patient(number: int) -> str:
    """The psn_no of a patient."""
    return f"P{number % PATIENTS:08d}"

"""The migration that moves lines into authorizations and open windows into relations loses and changes nothing."""

from pathlib import Path

import asyncpg

from gongji_local.templates import migrations_before
from kit.migrate import apply

MIGRATIONS = Path(__file__).parents[1] / "migrations"
BEFORE = "0011"
_COUNTERS = """
SELECT relation_id, window_kind, window_start, used_fen, held_fen, nearly_told FROM limit_counter ORDER BY 1, 2, 3
"""
_LINES = """
SELECT authorization_id, relation_id, position, granted_fen, reason, window_kind, held_fen, used_fen
FROM authorization_line ORDER BY 1, 3
"""
_CLOSED = """
SELECT (SELECT count(*) FROM limit_counter_closed AS c WHERE c.relation_id = r.relation_id) AS n
FROM relation AS r ORDER BY 1
"""
_WORLD = """
INSERT INTO application (application_id, applicant, request_id, body_hash, payer_psn_no, beneficiary_psn_no,
                         relationship, year_fen, valid_to, priority, pledge_version, state)
SELECT md5('a' || n)::uuid, 'test', gen_random_uuid(), '', 'F' || n, 'P' || n, 'CHILD', 9000, '2099-12-31', 0, 'test',
       'DRAFT'
FROM generate_series(1, 3) AS n;
INSERT INTO relation (relation_id, application_id, payer_psn_no, beneficiary_psn_no, relationship, priority, year_fen,
                      valid_from, valid_to, approved_at, state)
SELECT md5('r' || n)::uuid, md5('a' || n)::uuid, 'F' || n, 'P' || n, 'CHILD', 1, 9000, '2020-01-01', '2099-12-31',
       now(), 'ACTIVE'
FROM generate_series(1, 3) AS n;
INSERT INTO limit_counter (relation_id, window_kind, window_start, used_fen, held_fen, nearly_told)
SELECT md5('r' || n)::uuid, w.*
FROM generate_series(1, 2) AS n, (VALUES
    ('DAY', '2024-12-31'::date, 1, 0, false), ('DAY', '2025-01-31', 2, 3, true), ('DAY', '2025-02-01', 0, 4, true),
    ('MONTH', '2024-12-01', 1, 0, false), ('MONTH', '2025-01-01', 2, 3, true), ('MONTH', '2025-02-01', 5, 4, true),
    ('YEAR', '2024-01-01', 1, 0, true), ('YEAR', '2025-01-01', 7, 7, false),
    ('TOTAL', '1970-01-01', 8, 7, true)
) AS w (kind, start, used_fen, held_fen, told)
WHERE n = 1 OR w.kind = 'TOTAL' OR w.start < '2025-02-01';
INSERT INTO authorization_record (authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on)
SELECT md5('s' || n)::uuid, 'HELD', 'P' || n, now(), '2025-02-01' FROM generate_series(1, 3) AS n;
INSERT INTO authorization_line
    (authorization_id, relation_id, position, granted_fen, reason, window_kind, held_fen, used_fen)
VALUES (md5('s1')::uuid, md5('r2')::uuid, 0, 5, 'LIMIT_REACHED', 'DAY', 5, 0),
       (md5('s1')::uuid, md5('r1')::uuid, 1, 9, NULL, NULL, 2, 1),
       (md5('s2')::uuid, md5('r1')::uuid, 0, 0, 'RELATION_EXPIRED', NULL, 0, 0);
-- Of several pages.
INSERT INTO authorization_record (authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on)
SELECT md5('m' || n)::uuid, 'HELD', 'P1', now(), '2025-02-01' FROM generate_series(1, 3000) AS n;
INSERT INTO authorization_line (authorization_id, relation_id, position, granted_fen, held_fen, used_fen)
SELECT md5('m' || n)::uuid, md5('r1')::uuid, 0, n, n, 0 FROM generate_series(1, 3000) AS n;
"""


async def test_what_was_counted_and_answered_before_is_so_afterwards(empty_database_url: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await apply(empty_database_url, migrations_before(MIGRATIONS, BEFORE, tmp_path))
        await connection.execute(_WORLD)
        before = [await connection.fetch(query) for query in (_COUNTERS, _LINES)]
        await apply(empty_database_url, MIGRATIONS)
        assert [await connection.fetch(query) for query in (_COUNTERS, _LINES)] == before
        assert [row["n"] for row in await connection.fetch(_CLOSED)] == [0, 3, 5]
    finally:
        await connection.close()

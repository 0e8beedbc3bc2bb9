"""`make bench-audit`: how long sealing and auditing long books takes, and in how much memory.

Six of ten entries are of contributions, four of settlements with one payer; each movement of an account has its
event, and each settlement its authorization at binding, which the audit asks. They are written set by set into the
databases of a whole stack, in which settlement itself does not run meanwhile. ENTRIES sets how many; 10 million need
some 13 GB of disk. It fails on a finding, and if the audit's process takes more than 300 MiB.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from kit.clock import SystemClock
from kit.db import Database, PostgresWork
from settlement.domain.seals import SealAlgorithm
from settlement.seal_repository import PostgresSealRepository
from settlement.sealer import Sealer

ENTRIES: Final = int(os.environ.get("ENTRIES") or 10_000_000)
CONTRIBUTIONS: Final = 15
SETTLEMENTS: Final = 10
"""Of each account; either has two entries."""
MOST_MIB: Final = 300
ACCOUNTS: Final = max(1, ENTRIES // (2 * (CONTRIBUTIONS + SETTLEMENTS)))

_ACCOUNT: Final = "'P' || lpad(a::text, 10, '0')"
_ID: Final = f"lpad(to_hex((v - 1)::bigint * {ACCOUNTS} + a), 32, '0')::uuid"
_TIME: Final = "'2025-06-10 10:00+08'::timestamptz, '2025-06-10'::date"
_BALANCE: Final = f"{1000 * CONTRIBUTIONS} - 100 * v"


def _each(most: int) -> str:
    return f"FROM generate_series(1, {most}) AS v, generate_series(1, {ACCOUNTS}) AS a"


AT_BINDING: Final = (
    f"""INSERT INTO authorization_record
            (authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, relation_ids, granted_fen, reasons,
             windows, held_fen, used_fen)
        SELECT {_ID}, 'CAPTURED', 'K' || a, {_TIME}, ARRAY[{_ID}], ARRAY[100], ARRAY[NULL::text], ARRAY[NULL::text],
               ARRAY[0], ARRAY[100] {_each(SETTLEMENTS)}""",
    "VACUUM ANALYZE authorization_record",
)
LOADS: Final = (
    f"""INSERT INTO account (psn_no, balance_fen, version)
        SELECT {_ACCOUNT}, {1000 * CONTRIBUTIONS - 100 * SETTLEMENTS}, {CONTRIBUTIONS + SETTLEMENTS}
        FROM generate_series(1, {ACCOUNTS}) AS a""",  # noqa: S608
    f"""INSERT INTO contribution (contribution_id, psn_no, amount_fen, balance_after_fen, body_hash)
        SELECT v || '.' || a, {_ACCOUNT}, 1000, v * 1000, '' {_each(CONTRIBUTIONS)}""",
    f"""INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                           contribution_id, posted_at, business_day)
        SELECT {_ID}, k, CASE k WHEN 'PERSONAL' THEN {_ACCOUNT} ELSE '310' END,
               CASE k WHEN 'PERSONAL' THEN 1000 ELSE -1000 END, CASE k WHEN 'PERSONAL' THEN v * 1000 END,
               CASE k WHEN 'PERSONAL' THEN v END, 'CONTRIBUTION', v || '.' || a, {_TIME}
        {_each(CONTRIBUTIONS)}, unnest(ARRAY['PERSONAL', 'CONTRIBUTION']) AS k""",
    f"""INSERT INTO settlement (id, fixmedins_code, msgid, hash_version, body_hash, state, psn_no, mdtrt_id, med_type,
                                medfee_sumamt_fen, fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen,
                                bill_details, acct_used_flag, use_mutual_aid, insutype, clr_type, occurred_at,
                                acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen, setl_time, business_day)
        SELECT {_ID}, 'H65270100001', v || '.' || a, 1, '', 'SETTLED', 'K' || a, 'visit', 11, 100, 0, 100, 0,
               '{{}}', true, true, 390, 11, now(), 0, 100, 0, {_TIME} {_each(SETTLEMENTS)}""",
    f"""INSERT INTO settlement_line (settlement_id, position, payer_psn_no, relation_id, amount_fen, balance_after_fen)
        SELECT {_ID}, 0, {_ACCOUNT}, {_ID}, 100, {_BALANCE} {_each(SETTLEMENTS)}""",
    f"""INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                           settlement_id, patient_psn_no, fixmedins_code, posted_at, business_day)
        SELECT {_ID}, k, CASE k WHEN 'PERSONAL' THEN {_ACCOUNT} ELSE 'H65270100001' END,
               CASE k WHEN 'PERSONAL' THEN -100 ELSE 100 END, CASE k WHEN 'PERSONAL' THEN {_BALANCE} END,
               CASE k WHEN 'PERSONAL' THEN {CONTRIBUTIONS} + v END, 'SETTLEMENT', {_ID}, 'K' || a, 'H65270100001',
               {_TIME}
        {_each(SETTLEMENTS)}, unnest(ARRAY['PERSONAL', 'CLEARING']) AS k""",
    f"""INSERT INTO outbox_event (event_id, topic, key, type, source, subject, payload, occurred_at, sequence, epoch)
        SELECT {_ID}, 'account-events-v1', {_ACCOUNT}, 'bench', 'bench', '', '', now(), v, 1
        {_each(CONTRIBUTIONS + SETTLEMENTS)}""",
    "VACUUM ANALYZE",
)


def main() -> int:
    """Load, seal, audit, print; 1 if the audit is not clean or took too much memory."""
    stack = Stack(new_session_folder())
    try:
        stack.up()
        return measure(stack)
    finally:
        remove_session(stack)


def measure(stack: Stack) -> int:
    """The same on a stack that runs."""
    stack.stop_service("settlement")  # which would seal, too
    url = stack.info.database_url("settlement")
    with told(f"{ENTRIES:,} entries loaded, and {ACCOUNTS * SETTLEMENTS:,} authorizations at binding"):
        asyncio.run(load(url, LOADS))
        asyncio.run(load(stack.info.database_url("binding"), AT_BINDING))
    with told("sealed"):
        asyncio.run(seal(url))
    environment = {**os.environ, **stack.environment("settlement"), "GONGJI_BINDING_LAG_SECONDS": "0"}
    with told("audited"):
        status, peak_mib = audit(environment)
    sys.stdout.write(f"peak memory of the audit's process: {peak_mib} MiB of {MOST_MIB}; status {status}\n")
    return 1 if status or peak_mib > MOST_MIB else 0


def audit(environment: dict[str, str]) -> tuple[int, int]:
    """Exit status of `settlement audit`, and the most memory that it had, in MiB."""
    process = os.posix_spawn(sys.executable, [sys.executable, "-m", "settlement", "audit"], environment)
    _, status, used = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss // 1024


@contextmanager
def told(what: str) -> Iterator[None]:
    """Says how long something took."""
    begun = time.monotonic()
    yield
    sys.stdout.write(f"{what} in {time.monotonic() - begun:.1f} s\n")
    sys.stdout.flush()


async def load(url: str, statements: Sequence[str]) -> None:
    """Books that are in order."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def seal(url: str) -> None:
    """The whole chain."""
    database = Database(url, statement_timeout_seconds=60.0)
    sealer = Sealer(PostgresWork(database, PostgresSealRepository), SystemClock(), SealAlgorithm.SHA_256)
    try:
        while await sealer.batch():
            pass
    finally:
        await database.close()


if __name__ == "__main__":
    sys.exit(main())

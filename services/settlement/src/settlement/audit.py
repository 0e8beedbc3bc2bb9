"""The audit: walks the books chunk by chunk and says what is not as it must be. Reads only, also while serving."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kit.db import Database
from settlement import reconciliation_checks
from settlement.audit_checks import UNSENT, Check, all_checks
from settlement.binding_holds import BindingSilentError

SHOWN_FINDINGS: Final = 20
"""Findings of one check that are spelled out; all are counted."""
STATEMENT_TIMEOUT_SECONDS: Final = 600.0

# One row for a chunk, so that neither the length of the books nor the number of findings needs memory here.
_LOOK: Final = """
WITH looked AS MATERIALIZED ({sql})
SELECT count(*) AS looked_at, count(problem) AS found, (SELECT key FROM looked ORDER BY key DESC LIMIT 1) AS last,
       ARRAY(SELECT key::text || ': ' || problem FROM looked WHERE problem IS NOT NULL ORDER BY key LIMIT {shown})
           AS findings
FROM looked
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found."""

    name: str
    looked_at: int
    """Keys: postings, accounts, settlements."""
    found: int
    findings: tuple[str, ...]
    """The first of them, each with the key that it is about."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the audit found."""

    results: tuple[Result, ...]
    unsent_events: int
    """Events that wait for the relay: told for information, a busy service has some."""
    unsent_age_seconds: float
    silence: str = ""
    """Why binding could not be asked, so that checks are missing; empty if none is."""

    @property
    def found(self) -> int:
        """Findings of all checks; 0 is a clean audit, if it is complete."""
        return sum(result.found for result in self.results)

    @property
    def clean(self) -> bool:
        """Whether everything was looked at, and nothing found."""
        return not (self.found or self.silence)


Watch = Callable[[Result], None]
"""Is told how far a check has come, after each of its chunks."""
FurtherCheck = Callable[[Watch], Awaitable[Result]]
"""A check that is more than a query over the rows."""


def _unwatched(_so_far: Result) -> None:
    """Nobody is looking."""


async def audit(
    database: Database,
    pending_age_seconds: float,
    *,
    chunk_keys: int | None = None,
    further: Sequence[FurtherCheck] = (),
    watch: Watch = _unwatched,
) -> Report:
    """Every check over all of the books; `chunk_keys` makes the chunks smaller, for tests."""
    checks = (*all_checks(pending_age_seconds), *reconciliation_checks.CHECKS)
    results = [await _run(database, check, chunk_keys, watch) for check in checks]
    silence = await _look_further(further, watch, results)
    async with database.transaction() as transaction:
        unsent = await transaction.raw.fetchrow(UNSENT)
    events, age_seconds = unsent.values() if unsent else (0, 0.0)
    return Report(tuple(results), events, age_seconds, silence)


async def _look_further(further: Sequence[FurtherCheck], watch: Watch, results: list[Result]) -> str:
    """Add what these checks find; what was found before is told also when binding is away."""
    for check in further:
        try:
            results.append(await check(watch))
        except BindingSilentError as error:
            return str(error)
    return ""


async def _run(database: Database, check: Check, chunk_keys: int | None, watch: Watch) -> Result:
    limit = check.chunk_keys and (chunk_keys or check.chunk_keys)
    query = _LOOK.format(sql=check.sql, shown=SHOWN_FINDINGS)
    result, after = Result(check.name, 0, 0, ()), check.first_key
    watch(result)
    while True:
        async with database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
            row = await transaction.raw.fetchrow(query, after, limit, *check.arguments)
        if row is None or row["last"] is None:
            return result
        result = with_findings(result, row["looked_at"], row["found"], row["findings"])
        watch(result)
        if limit is None:
            return result
        after = row["last"]


def with_findings(result: Result, looked_at: int, found: int, findings: Sequence[str]) -> Result:
    """A result with what a further chunk gave; of the findings only the first are kept."""
    shown = (*result.findings, *findings)[:SHOWN_FINDINGS]
    return Result(result.name, result.looked_at + looked_at, result.found + found, shown)


def lines_of(report: Report) -> Iterator[str]:
    """The report as plain text, a line at a time."""
    width = max(len(result.name) for result in report.results)
    yield f"{'what must be true':<{width}}  {'looked at':>10}  {'findings':>8}"
    for result in report.results:
        yield f"{result.name:<{width}}  {result.looked_at:>10}  {result.found:>8}"
    yield f"outbox: {report.unsent_events} event(s) wait to be sent, the oldest for {report.unsent_age_seconds:.0f} s"
    for result in report.results:
        yield from _findings_of(result)
    if report.silence:
        yield f"NOT COMPLETE: {report.silence}; limits were not compared. Run the same again once binding serves"
    if report.found:
        yield f"{report.found} finding(s): see above"
    else:
        yield "what was looked at is in order" if report.silence else "the books are in order"


def _findings_of(result: Result) -> Iterator[str]:
    if result.found:
        yield f"NOT TRUE: {result.name}"
        yield from (f"  {finding}" for finding in result.findings)
    if result.found > len(result.findings):
        yield f"  … and {result.found - len(result.findings)} more"

"""The operator's commands that look after the books, on the running stack once all has come to rest."""

import asyncio
import subprocess
from collections.abc import Collection
from datetime import datetime

from gongji_local.stack import Stack
from support.limit_counters import charged_without_settlement, wrong_counters

OF_ANY_AGE = {"GONGJI_RECONCILE_AGE_SECONDS": "0"}
NOTHING_ON_ITS_WAY = {"GONGJI_BINDING_LAG_SECONDS": "0"}
"""Everything was heard, so what is seconds old is compared like all else."""


async def audit(stack: Stack) -> subprocess.CompletedProcess[str]:
    """`settlement audit`, which asks binding."""
    return await asyncio.to_thread(lambda: stack.run_command("settlement", "audit", environment=NOTHING_ON_ITS_WAY))


async def audit_limits(stack: Stack) -> subprocess.CompletedProcess[str]:
    """`binding audit`."""
    return await asyncio.to_thread(stack.run_command, "binding", "audit")


async def reconcile(stack: Stack, captured_since: datetime | None = None) -> str:
    """`settlement reconcile-holds` of whatever is held, and until binding has heard of it; what it printed.

    After a restore also of what was captured since a moment.
    """
    since = {"GONGJI_RECONCILE_CAPTURED_SINCE": captured_since.isoformat()} if captured_since else {}
    environment = OF_ANY_AGE | since
    done = await asyncio.to_thread(lambda: stack.run_command("settlement", "reconcile-holds", environment=environment))
    assert done.returncode == 0, done.stderr
    await asyncio.to_thread(stack.quiesce, 120.0)
    return done.stdout


async def books_are_clean(stack: Stack) -> None:
    """The audits find nothing, once what other scenarios made binding hold without settlement is given up.

    Nor do counters of limits differ from settlement's lines, but for relations that other scenarios charged without it.
    """
    await reconcile(stack)
    assert await findings(stack, passing_over=await charged_without_settlement(stack)) == []


async def findings(stack: Stack, *, passing_over: Collection[str] = ()) -> list[str]:
    """What both audits find, and counters of limits that are not what settlement's lines come to."""
    of_settlement, of_binding = await asyncio.gather(audit(stack), audit_limits(stack))
    audits = {"settlement": of_settlement, "binding": of_binding}
    wrong = [
        f"the audit of {service} is not clean:\n{done.stdout}{done.stderr}"
        for service, done in audits.items()
        if done.returncode != 0
    ]
    return wrong + await wrong_counters(stack, passing_over=passing_over)

"""The operator's commands that look after settlement's books, on the running stack."""

import asyncio
import subprocess

from gongji_local.stack import Stack

OF_ANY_AGE = {"GONGJI_RECONCILE_AGE_SECONDS": "0"}


async def audit(stack: Stack) -> subprocess.CompletedProcess[str]:
    """`settlement audit`, which asks binding."""
    return await asyncio.to_thread(stack.run_command, "settlement", "audit")


async def reconcile(stack: Stack) -> str:
    """`settlement reconcile-holds` of whatever is held, and until binding has heard of it; what it printed."""
    done = await asyncio.to_thread(lambda: stack.run_command("settlement", "reconcile-holds", environment=OF_ANY_AGE))
    assert done.returncode == 0, done.stderr
    await asyncio.to_thread(stack.quiesce, 120.0)
    return done.stdout


async def books_are_clean(stack: Stack) -> None:
    """The audit finds nothing, once what other scenarios made binding hold without settlement is given up."""
    await reconcile(stack)
    audited = await audit(stack)
    assert audited.returncode == 0, audited.stdout

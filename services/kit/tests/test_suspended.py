"""Suspended institutions are refused whatever they call, by a list that is read again and again."""

import asyncio
from collections.abc import Callable, Collection

import pytest

from kit.auth import Principal
from kit.suspended import SuspendedInstitutions

HOSPITAL, OTHER = "H65270100001", "H65270100002"


class Register:
    """Where the list comes from; it may be away."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.away = False
        self.reads = 0

    async def __call__(self) -> Collection[str]:
        self.reads += 1
        if self.away:
            raise ConnectionRefusedError
        return self.codes


def refused(suspended: SuspendedInstitutions, kind: str, name: str) -> str | None:
    refusal = suspended(Principal("institution" if kind == "institution" else "service", name), 1)
    return refusal.reason if refusal else None


async def test_a_suspended_institution_is_refused_and_nobody_else() -> None:
    suspended = SuspendedInstitutions(Register(HOSPITAL))
    await suspended.refresh()
    assert refused(suspended, "institution", HOSPITAL) == "INSTITUTION_SUSPENDED"
    assert refused(suspended, "institution", OTHER) is None
    assert refused(suspended, "service", HOSPITAL) is None


async def test_the_list_is_read_again_and_stands_while_the_database_is_away() -> None:
    register = Register(HOSPITAL)
    suspended = SuspendedInstitutions(register, every_seconds=0)
    reading = asyncio.create_task(suspended.run())
    try:
        await seen(lambda: refused(suspended, "institution", HOSPITAL) is not None)
        register.away, before = True, register.reads
        await seen(lambda: register.reads > before + 2)
        assert refused(suspended, "institution", HOSPITAL) == "INSTITUTION_SUSPENDED"
        register.away, register.codes = False, [OTHER]
        await seen(lambda: refused(suspended, "institution", HOSPITAL) is None)
        assert refused(suspended, "institution", OTHER) == "INSTITUTION_SUSPENDED"
    finally:
        reading.cancel()


async def seen(condition: Callable[[], bool]) -> None:
    for _ in range(1000):  # rounds of the loop, in each of which the list may be read once
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came to be")

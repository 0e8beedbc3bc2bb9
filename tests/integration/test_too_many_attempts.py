"""Guessing is bounded: wrong codes and wrong names lock out, and the lock-out ends by itself after an hour."""

import asyncio
from collections import Counter
from datetime import timedelta

import asyncpg
from support.newcomers import newcomer, refusal, start, wrong

from gongji_local.client import Connections, Portal
from gongji_local.stack import Stack

HOUR = timedelta(hours=1)


async def test_five_wrong_codes_lock_out_for_an_hour_and_no_longer(stack: Stack, connections: Connections) -> None:
    person, portal = await newcomer(connections), Portal(connections)
    verification_id = (await start(portal, person)).verification_id
    code = await asyncio.to_thread(stack.code_of, verification_id)
    by = (person.psn_name, person.certificate, verification_id)
    for left in "43210":
        assert await refusal(portal.register_with_code(*by, wrong(code))) == ("CODE_WRONG", {"tries_left": left})
    reason, facts = await refusal(portal.register_with_code(*by, code))
    assert reason == "TOO_MANY_ATTEMPTS"
    assert 3500 < int(facts["retry_after_seconds"]) <= 3600
    # Neither another browser nor a new code helps.
    assert (await refusal(Portal(connections).register_in_person(person.psn_name, person.certificate)))[0] == reason
    stack.move_clock(stack.now() + HOUR - timedelta(minutes=1))
    assert (await refusal(Portal(connections).register_in_person(person.psn_name, person.certificate)))[0] == reason
    stack.move_clock(stack.now() + timedelta(minutes=1))
    assert await Portal(connections).register_in_person(person.psn_name, person.certificate) == person.psn_no


async def test_guesses_sent_all_at_once_get_no_more_tries(stack: Stack, connections: Connections) -> None:
    person, portal = await newcomer(connections), Portal(connections)
    verification_id = (await start(portal, person)).verification_id
    code = await asyncio.to_thread(stack.code_of, verification_id)
    by = (person.psn_name, person.certificate, verification_id)
    guesses = [portal.register_with_code(*by, wrong(code)) for _ in range(40)]
    told = Counter(reason for reason, _ in await asyncio.gather(*map(refusal, guesses)))
    assert told["CODE_WRONG"] <= 5
    assert set(told) <= {"CODE_WRONG", "TOO_MANY_ATTEMPTS", "OVERLOADED"}


async def test_names_are_guessed_five_times_an_hour_and_every_try_leaves_a_line(
    stack: Stack, connections: Connections
) -> None:
    person = await newcomer(connections)
    told = []
    for number in range(6):
        attempt = Portal(connections).start_verification(f"张{number}", person.certificate)
        told.append((await refusal(attempt))[0])
    assert told == ["REAL_NAME_MISMATCH"] * 5 + ["TOO_MANY_ATTEMPTS"]
    assert (await refusal(start(Portal(connections), person)))[0] == "TOO_MANY_ATTEMPTS"
    assert await lines(stack) >= Counter({"REAL_NAME_MISMATCH": 5, "TOO_MANY_ATTEMPTS": 2})
    stack.move_clock(stack.now() + HOUR)
    await start(Portal(connections), person)


async def lines(stack: Stack) -> Counter[str]:
    """The outcomes in the access log."""
    connection = await asyncpg.connect(stack.info.database_url("identity"))
    try:
        rows = await connection.fetch("SELECT outcome FROM access_log WHERE operation = 'START_VERIFICATION'")
    finally:
        await connection.close()
    return Counter(row["outcome"] for row in rows)

"""Names are checked at a regional platform that goes away: nobody is taken for another, and later it goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.newcomers import newcomer, refusal, start

from gongji_local.client import Connections, Operator, Portal
from gongji_local.client.persons import Insured
from gongji_local.stack import Stack
from identity.testing_platform import TestPlatform, answers, hangs
from kit.testing_tls import Pki


@pytest.fixture
async def platform(stack: Stack, tmp_path: Path) -> AsyncIterator[TestPlatform]:
    """A regional platform, with identity told to ask it; afterwards identity asks the imported register again."""
    pki, token = Pki(tmp_path), tmp_path / "token"
    await asyncio.to_thread(token.touch, mode=0o600)
    await asyncio.to_thread(token.write_text, "a-token-of-the-platform")
    async with TestPlatform(pki.service("platform")) as serving:
        told = {
            "GONGJI_REAL_NAME_REGISTRY_URL": serving.url,
            "GONGJI_REAL_NAME_REGISTRY_CA_FILE": str(pki.service_ca_file),
            "GONGJI_REAL_NAME_REGISTRY_TOKEN_FILE": str(token),
        }
        try:
            await again(stack, told)
            yield serving
        finally:
            await again(stack, {})


async def again(stack: Stack, extra: dict[str, str]) -> None:
    await asyncio.to_thread(stack.stop_service, "identity")
    await asyncio.to_thread(stack.start_service, "identity", extra)


def keep(platform: TestPlatform, person: Insured) -> None:
    platform.keep(person.psn_no, "01", person.certno, person.psn_name)


async def test_while_it_is_away_nobody_registers_and_when_it_is_back_they_do(
    platform: TestPlatform, connections: Connections
) -> None:
    person = await newcomer(connections)
    keep(platform, person)
    await platform.stop()
    reason, facts = await refusal(start(Portal(connections), person))
    assert reason == "UNAVAILABLE"
    assert int(facts["retry_after_seconds"]) >= 1
    # Everything else works meanwhile.
    assert (await Operator(connections).person(person.psn_no)).psn_no == person.psn_no
    await platform.start()
    assert await Portal(connections).register_in_person(person.psn_name, person.certificate) == person.psn_no
    assert platform.asked[-1].headers["authorization"] == "Bearer a-token-of-the-platform"


async def test_only_what_it_calls_a_mismatch_is_one(platform: TestPlatform, connections: Connections) -> None:
    person = await newcomer(connections)
    assert (await refusal(start(Portal(connections), person)))[0] == "REAL_NAME_MISMATCH"
    keep(platform, person)
    platform.behaviours = [answers(200, b"<html>we are closed</html>"), answers(404, b"")]
    for _ in range(2):
        assert (await refusal(start(Portal(connections), person)))[0] == "UNAVAILABLE"
    platform.behaviours = [answers(503, b""), hangs]
    assert (await refusal(start(Portal(connections), person)))[0] in {"", "UNAVAILABLE"}
    platform.behaviours = []
    await start(Portal(connections), person)

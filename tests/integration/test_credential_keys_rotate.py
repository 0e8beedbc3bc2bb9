"""Keys of visit credentials rotate (add, activate, remove) while identity and settlement run, and nobody is cut off."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.families import Families
from typer.testing import CliRunner

from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import reason_of
from gongji_local.stack import Stack
from kit.__main__ import app

SETTLED = settlement_pb2.SETTLEMENT_STATE_SETTLED


@pytest.fixture
def ring(stack: Stack) -> Iterator[Path]:
    """The stack's ring, as it was before once the test is over."""
    path = stack.info.credential_keyring_file
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def keyring(command: str, ring: Path, key_id: str) -> None:
    """A command of the runbook, which puts the file in its place at once."""
    done = CliRunner().invoke(app, ["keyring", command, str(ring), key_id])
    assert done.exit_code == 0, done.output


def signed_by(credential: str) -> str:
    return credential.partition(".")[0]


async def test_keys_rotate_without_a_restart(families: Families, ring: Path) -> None:
    family = await families.make({"father": 10_000})
    first, kept = await family.request("child", 1_000), await family.request("child", 1_000)
    old = signed_by(first.visit_credential)

    keyring("add", ring, "c2")
    assert signed_by((await family.request("child", 1_000)).visit_credential) == old

    keyring("activate", ring, "c2")
    new = await family.request("child", 1_000)
    assert signed_by(new.visit_credential) == "c2"
    for request in (first, new):
        assert (await family.hospital.settle(request)).state == SETTLED

    keyring("remove", ring, old)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.hospital.settle(kept)
    assert reason_of(refused.value) == "CREDENTIAL_INVALID"
    assert (await family.settle("child", 1_000)).state == SETTLED
    assert await family.balance("father") == 7_000

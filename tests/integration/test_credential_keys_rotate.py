"""Keys of visit credentials rotate (add, activate, remove) while identity and settlement run, and nobody is cut off."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.families import Families

from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import reason_of
from gongji_local.stack import Stack

SETTLED = settlement_pb2.SETTLEMENT_STATE_SETTLED


class Ring:
    """The ring that both services read, as an operator edits it: written beside, then put in its place at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.before = path.read_bytes()

    def change(self, *, active: str | None = None, add: str = "", remove: str = "") -> None:
        content: dict[str, Any] = json.loads(self._path.read_bytes())
        if add:
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            content["keys"][add] = {"algorithm": "HMAC-SHA256", "key": key}
        content["keys"].pop(remove, None)
        content["active"] = active or content["active"]
        self._write(json.dumps(content).encode())

    def restore(self) -> None:
        self._write(self.before)

    def _write(self, content: bytes) -> None:
        owner = self._path.stat()
        beside = self._path.with_suffix(".new")
        beside.write_bytes(content)
        beside.chmod(owner.st_mode)
        os.chown(beside, owner.st_uid, owner.st_gid)
        beside.replace(self._path)


@pytest.fixture
def ring(stack: Stack) -> Iterator[Ring]:
    """The stack's ring, as it was before once the test is over."""
    ring = Ring(stack.info.credential_keyring_file)
    yield ring
    ring.restore()


def signed_by(credential: str) -> str:
    return credential.partition(".")[0]


async def test_keys_rotate_without_a_restart(families: Families, ring: Ring) -> None:
    family = await families.make({"father": 10_000})
    first, kept = await family.request("child", 1_000), await family.request("child", 1_000)
    old = signed_by(first.visit_credential)

    ring.change(add="c2")
    assert signed_by((await family.request("child", 1_000)).visit_credential) == old

    ring.change(active="c2")
    new = await family.request("child", 1_000)
    assert signed_by(new.visit_credential) == "c2"
    for request in (first, new):
        assert (await family.hospital.settle(request)).state == SETTLED

    ring.change(remove=old)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.hospital.settle(kept)
    assert reason_of(refused.value) == "CREDENTIAL_INVALID"
    assert (await family.settle("child", 1_000)).state == SETTLED
    assert await family.balance("father") == 7_000

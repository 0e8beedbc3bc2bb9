"""What the bench of settling sends and counts, without a server."""

import asyncio
from pathlib import Path

import grpc
import pytest
from bench.settle_load import Measured, RefusedInPart, load
from bench.settle_world import HOSPITAL, Patient, Requests, patients

from gongji.identity.v1 import visit_pb2
from gongji_local.keys import Keys
from kit.signing import TokenSigner
from kit.validation import check


def test_no_request_is_sent_twice_and_each_fits_the_contract() -> None:
    requests = Requests([Patient(f"P{number}", "credential") for number in range(100)])
    sent = [requests.one() for _ in range(12_000)]
    assert len({each.msgid for each in sent}) == 12_000
    for request in sent[::1_000]:
        check(request)
    assert len({each.bill.psn_no for each in sent[:100]}) == 100


def test_a_patient_has_what_identity_would_have_signed(tmp_path: Path) -> None:
    keyring = Keys(tmp_path).credential_keyring()
    (one, other) = patients(keyring, "P", 2)
    facts = [visit_pb2.VisitFacts.FromString(TokenSigner(keyring).verify(each.credential)) for each in (one, other)]
    assert [each.psn_no for each in facts] == [one.psn_no, other.psn_no]
    assert facts[0].jti != facts[1].jti
    assert (facts[0].fixmedins_code, facts[0].audience) == (HOSPITAL, "settlement")


async def test_load_counts_what_was_done_and_what_failed() -> None:
    calls = 0

    async def send() -> int:
        nonlocal calls
        calls += 1
        is_refused = calls % 10 == 0  # before others have their turn
        await asyncio.sleep(0)
        if is_refused:
            metadata = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, metadata, metadata)
        return 2

    measured = await load(send, callers=3, seconds=0.05)
    assert measured.failed == {"RESOURCE_EXHAUSTED": calls // 10}
    assert measured.done == 2 * (calls - calls // 10) == 2 * len(measured.latencies_ms)


async def test_of_a_call_for_many_what_was_done_counts_and_what_was_refused_is_told() -> None:
    calls = 0

    async def send() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise RefusedInPart(198, ["OVERLOADED", "IN_PROGRESS"])

    measured = await load(send, callers=2, seconds=0.02)
    assert measured.failed == {"OVERLOADED": calls, "IN_PROGRESS": calls}
    assert measured.done == 198 * calls == 198 * len(measured.latencies_ms)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 500.5), (0.99, 990.0), (0.999, 999.0)])
def test_quantiles_are_those_of_the_calls(share: float, expected: float) -> None:
    measured = Measured(1.0, [float(number) for number in range(1, 1_001)])
    assert measured.quantile_ms(share) == pytest.approx(expected, abs=0.1)

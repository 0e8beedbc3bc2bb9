"""Every method says who may call it."""

from gongji.settlement.v1 import account_pb2, premium_pb2, reconciliation_pb2, settlement_pb2
from kit.auth import uncovered
from settlement.access import ACCESS, OWN_CAPS_SECONDS

SERVED = {
    f"/{service.full_name}/{method.name}"
    for file in (account_pb2, premium_pb2, reconciliation_pb2, settlement_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def test_every_method_says_who_may_call_it() -> None:
    assert not uncovered(SERVED, ACCESS)


def test_nothing_is_said_of_methods_that_there_are_not() -> None:
    assert set(ACCESS) == SERVED


def test_only_streams_have_more_time_than_other_calls() -> None:
    streams = {
        f"/{service.full_name}/{method.name}"
        for file in (account_pb2, premium_pb2, reconciliation_pb2, settlement_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.client_streaming or method.server_streaming
    }
    assert set(OWN_CAPS_SECONDS) < streams

"""Who may call AccountService."""

from datetime import UTC, datetime

import pytest

from gongji.settlement.v1 import account_pb2
from kit.auth import Assertion, Principal, uncovered
from kit.errors import Refusal
from settlement.access import ACCESS, ACCOUNTS

SERVICE = account_pb2.DESCRIPTOR.services_by_name["AccountService"]
METHODS = [f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods]
READING = {f"/{ACCOUNTS}/{name}" for name in ("GetAccount", "ListEntries", "GetStatement", "ExportStatement")}
CLOSING = {f"/{ACCOUNTS}/{name}" for name in ("CloseAccount", "ListClosedRefunds", "PayOutClosedRefund")}

OPERATOR = Principal("service", "operator")
REGISTRY = Principal("service", "registry")
PORTAL = Principal("service", "portal")
HOSPITAL = Principal("institution", "H65270100001")


def person(role: str) -> Assertion:
    return Assertion(
        "psn:father", frozenset({role}), "father", "gongji-portal", "j1", datetime(2025, 3, 10, tzinfo=UTC)
    )


def may(method: str, principal: Principal, assertion: Assertion | None = None) -> bool:
    try:
        ACCESS[method].check(principal, assertion)
    except Refusal:
        return False
    return True


def test_every_method_is_in_the_table() -> None:
    assert SERVICE.full_name == ACCOUNTS
    assert uncovered(METHODS, ACCESS) == set()


@pytest.mark.parametrize("method", METHODS)
def test_only_operators_and_registers_change_accounts_and_only_owners_and_operators_read_them(method: str) -> None:
    reads = method in READING
    assert may(method, OPERATOR)
    assert may(method, REGISTRY) is (not reads and method not in CLOSING)
    assert may(method, PORTAL, person("citizen")) is reads
    for stranger in (HOSPITAL, Principal("service", "binding"), Principal("service", "notify"), PORTAL):
        assert not may(method, stranger)
    for clerk in ("handler", "decider", "operator", "auditor"):
        assert not may(method, PORTAL, person(clerk))

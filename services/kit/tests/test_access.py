"""Who may call what."""

from datetime import UTC, datetime

import pytest

from kit import auth
from kit.auth import Access, Assertion, CallContext, Deadline, Principal, institutions, people, services
from kit.auth.call import NoCallError
from kit.errors import Refusal

HOSPITAL = Principal("institution", "H65270100001")
PORTAL = Principal("service", "portal")
SETTLEMENT = Principal("service", "settlement")


def person(*roles: str) -> Assertion:
    return Assertion("psn:1", frozenset(roles), "1", "gongji-portal", "j", datetime(2025, 1, 1, tzinfo=UTC))


def outcome(access: Access, principal: Principal, assertion: Assertion | None = None) -> str:
    try:
        access.check(principal, assertion)
    except Refusal as refusal:
        return refusal.reason
    return "may"


@pytest.mark.parametrize(
    ("access", "principal", "assertion", "expected"),
    [
        (institutions(), HOSPITAL, None, "may"),
        (institutions(), PORTAL, None, "FORBIDDEN"),
        (services("settlement"), SETTLEMENT, None, "may"),
        (services("settlement"), PORTAL, None, "FORBIDDEN"),
        (services("H65270100001"), HOSPITAL, None, "FORBIDDEN"),
        (services("portal"), Principal("institution", "portal"), None, "FORBIDDEN"),
        (people("citizen"), PORTAL, person("citizen"), "may"),
        (people("citizen", "handler"), PORTAL, person("handler", "decider"), "may"),
        (people("citizen"), PORTAL, person("handler"), "FORBIDDEN"),
        (people("citizen"), PORTAL, None, "UNAUTHENTICATED"),
        (people("citizen"), SETTLEMENT, person("citizen"), "FORBIDDEN"),
        (people("citizen"), HOSPITAL, person("citizen"), "FORBIDDEN"),
        (people("citizen") | services("portal"), PORTAL, None, "may"),
        (institutions() | people("citizen") | services("settlement"), SETTLEMENT, None, "may"),
        (institutions() | people("citizen") | services("settlement"), HOSPITAL, None, "may"),
        (Access(), HOSPITAL, None, "FORBIDDEN"),
        (Access(), PORTAL, person("citizen"), "FORBIDDEN"),
    ],
)
def test_only_those_named_may_call(
    access: Access, principal: Principal, assertion: Assertion | None, expected: str
) -> None:
    assert outcome(access, principal, assertion) == expected


def test_methods_without_an_entry_are_found() -> None:
    table = {"/a.B/C": institutions()}
    assert auth.uncovered({"/a.B/C", "/a.B/D"}, table) == {"/a.B/D"}


def test_outside_of_a_call_there_is_nobody_to_ask_about() -> None:
    with pytest.raises(NoCallError):
        auth.current()


async def test_a_servicer_can_insist_on_an_institution_or_on_a_person() -> None:
    auth.enter(CallContext("/a.B/C", HOSPITAL, None, "r", Deadline(5)))
    assert auth.require_institution() == "H65270100001"
    with pytest.raises(Refusal) as caught:
        auth.require_assertion()
    assert caught.value.reason == "UNAUTHENTICATED"
    auth.enter(CallContext("/a.B/C", PORTAL, person("citizen"), "r", Deadline(5)))
    assert auth.require_assertion().psn_no == "1"
    with pytest.raises(Refusal) as caught:
        auth.require_institution()
    assert caught.value.reason == "FORBIDDEN"


def test_a_deadline_never_has_less_than_nothing_left() -> None:
    assert Deadline(-1).remaining_seconds == 0
    assert 0 < Deadline(60).remaining_seconds <= 60

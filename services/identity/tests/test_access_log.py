"""Who looked at my data: AccessLogService as persons, guardians and auditors meet it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gongji.identity.v1 import access_log_pb2, person_pb2
from identity.domain.person import Registration
from identity.domain.refusals import NotEntitled
from identity.repository import RECOGNISED, Access, Operation
from identity.testing import (
    CHILD,
    HOSPITAL,
    NOW,
    Bench,
    call_as_citizen,
    call_as_clerk,
    call_as_operator,
    person,
)
from kit.errors import InvalidFields

IDENTIFIED = Access(NOW, f"institution/{HOSPITAL}", Operation.IDENTIFY, "01", RECOGNISED, "r1", "P1")


@pytest.fixture
def logged(bench: Bench) -> Bench:
    """A father, his child, a stranger; the father was identified, the child looked up."""
    registered = Registration(NOW, "P1")
    bench.keep(
        person(registration=registered),
        person("P2", CHILD, 2, registration=registered, guardians=frozenset({"P1"})),
        person("P3", sequence=3),
    )
    looked_up = Access(NOW, "service/operator", Operation.FIND_PERSON, "OPERATOR", RECOGNISED, "r2", "P2")
    bench.repository.accesses += [IDENTIFIED, looked_up.because("窗口查询")]
    return bench


async def listed(bench: Bench, **asked: Any) -> access_log_pb2.ListAccessResponse:
    return await bench.access_log.ListAccess(access_log_pb2.ListAccessRequest(**asked), None)


async def test_a_person_sees_who_was_told_what_where_when_and_why(logged: Bench) -> None:
    call_as_citizen("P1")
    (line,) = (await listed(logged, psn_no="P1")).lines
    assert (line.caller, line.fixmedins_code, line.psn_no) == (f"institution/{HOSPITAL}", HOSPITAL, "P1")
    assert (line.operation, line.means, line.outcome) == (access_log_pb2.ACCESS_OPERATION_IDENTIFY, "01", RECOGNISED)
    assert line.occurred_at.ToDatetime() == NOW.replace(tzinfo=None)
    (childs,) = (await listed(logged, psn_no="P2")).lines
    assert (childs.caller, childs.fixmedins_code, childs.stated_reason) == ("service/operator", "", "窗口查询")


@pytest.mark.parametrize(
    "asked",
    [
        {"psn_no": "P3"},
        {"psn_no": "P99"},
        {"caller": "service/operator"},
        {"psn_no": "P1", "caller": "service/operator"},
    ],
)
async def test_a_citizen_sees_nothing_of_others_and_nothing_by_caller(logged: Bench, asked: dict[str, str]) -> None:
    call_as_citizen("P1")
    with pytest.raises(NotEntitled):
        await listed(logged, **asked)
    assert logged.repository.accesses[-1].outcome == "FORBIDDEN"


async def test_a_child_that_came_of_age_is_no_longer_looked_after(logged: Bench) -> None:
    logged.clock.set(datetime.fromisoformat("2033-09-01T00:00:00+08:00"))
    call_as_citizen("P1")
    with pytest.raises(NotEntitled):
        await listed(logged, psn_no="P2")


async def test_a_refused_look_is_seen_by_the_person_whom_it_was_about(logged: Bench) -> None:
    call_as_citizen("P3")
    with pytest.raises(NotEntitled):
        await logged.persons.GetPerson(person_pb2.GetPersonRequest(psn_no="P1"), None)
    call_as_citizen("P1")
    line = (await listed(logged, psn_no="P1")).lines[0]
    assert (line.caller, line.outcome) == ("service/portal psn:P3", "FORBIDDEN")


async def test_an_auditor_asks_by_person_or_by_caller_and_that_is_logged_too(logged: Bench) -> None:
    call_as_clerk("zhao", "auditor")
    assert len((await listed(logged, psn_no="P2")).lines) == 1
    assert [one.psn_no for one in (await listed(logged, caller="service/operator")).lines] == ["P2"]
    call_as_citizen("P1")
    line = (await listed(logged, psn_no="P2")).lines[0]
    assert (line.caller, line.means) == ("service/portal clerk:zhao", "AUDITOR")
    assert line.operation == access_log_pb2.ACCESS_OPERATION_LIST_ACCESS


async def test_a_period_begins_and_ends_at_midnight_of_shanghai(logged: Bench) -> None:
    at = datetime.fromisoformat("2025-06-10T00:00:00+08:00")
    logged.repository.accesses = [
        replace(IDENTIFIED, occurred_at=at + offset, request_id=name)
        for offset, name in (
            (timedelta(microseconds=-1), "before"),
            (timedelta(), "first"),
            (timedelta(days=1, microseconds=-1), "last"),
            (timedelta(days=1), "after"),
        )
    ]
    call_as_clerk("zhao", "auditor")
    inside = await listed(logged, psn_no="P1", from_day="2025-06-10", to_day="2025-06-10")
    assert [one.request_id for one in inside.lines] == ["last", "first"]
    assert len((await listed(logged, psn_no="P1", from_day="2025-06-10")).lines) == 4
    assert len((await listed(logged, psn_no="P1", to_day="2025-06-09")).lines) == 1


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"from_day": "2025-02-30"}, "from_day"),
        ({"from_day": "2025-06-10", "to_day": "2025-06-09"}, "to_day"),
        ({"to_day": "9999-12-31"}, "to_day"),
        ({"page_token": "MA"}, "page_token"),
    ],
)
async def test_a_period_that_cannot_be_names_the_field(logged: Bench, asked: dict[str, str], field: str) -> None:
    call_as_clerk("zhao", "auditor")
    with pytest.raises(InvalidFields) as refused:
        await listed(logged, psn_no="P1", **asked)
    assert refused.value.violations[0].field == field


async def test_lines_come_in_pages_that_new_lines_do_not_disturb(logged: Bench) -> None:
    logged.repository.accesses = [replace(IDENTIFIED, request_id=str(number)) for number in range(5)]
    call_as_citizen("P1")
    found, token = [], ""
    for _ in range(3):
        page = await listed(logged, psn_no="P1", page_size=2, page_token=token)
        found += [one.request_id for one in page.lines]
        token = page.next_page_token
    assert found == ["4", "3", "2", "1", "0"]


async def test_the_console_of_operators_has_no_right_of_an_auditor(logged: Bench) -> None:
    call_as_operator()
    with pytest.raises(NotEntitled):
        await listed(logged, caller="service/operator")

"""Which rights the catalogue states, and what differs from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from kit.__main__ import app
from kit.kafka_acls import Acl, Compared, compare, stated
from kit.testing_events import SampleTopic
from kit.topic_access import CHECKER, access_of, services_of, users_of
from kit.topics import catalogue

SERVICES = ("binding", "identity", "notify", "settlement")


def rights() -> dict[str, set[tuple[str, str, str]]]:
    found: dict[str, set[tuple[str, str, str]]] = {}
    for acl in stated(catalogue()):
        found.setdefault(acl.principal, set()).add((acl.operation, acl.kind, acl.name))
    return found


def test_the_services_and_who_checks_have_rights_and_nobody_else() -> None:
    assert services_of(catalogue()) == SERVICES
    assert rights().keys() == {f"User:{user}" for user in (*SERVICES, CHECKER)}


def test_each_service_has_what_its_access_says_to_the_letter() -> None:
    for access in access_of(catalogue(), SERVICES):
        described = {("Describe", "topic", name) for name in {*access.writes, *access.reads}}
        written = {("Write", "topic", name) for name in access.writes}
        read = {("Read", "topic", name) for name in access.reads}
        groups = {("Read", "group", name) for name in access.groups}
        assert rights()[f"User:{access.service}"] == described | written | read | groups


def test_who_checks_can_look_and_nothing_else() -> None:
    assert {operation for operation, _, _ in rights()[f"User:{CHECKER}"]} == {"Describe", "DescribeConfigs"}


def test_principals_are_called_as_the_brokers_call_them() -> None:
    principals = {acl.principal for acl in stated(catalogue(), "User:CN={user}-kafka,O=gongji")}
    assert "User:CN=settlement-kafka,O=gongji" in principals


def test_a_topic_of_a_service_alone_gives_rights_to_it_and_to_who_checks() -> None:
    topics = SampleTopic().catalogue
    assert users_of(topics, services_of(topics)).keys() == {*services_of(topics), CHECKER}


@given(
    st.frozensets(st.sampled_from(sorted(stated(catalogue())))),
    st.frozensets(st.sampled_from(sorted(stated(catalogue())))),
)
def test_what_differs_is_missing_or_unstated(wanted: frozenset[Acl], found: frozenset[Acl]) -> None:
    compared = compare(wanted, found)
    assert (found | set(compared.missing)) - set(compared.unstated) == wanted
    assert not set(compared.missing) & found
    assert (compared == Compared((), ())) == (wanted == found)


def test_a_right_reads_as_a_sentence() -> None:
    assert str(Acl("User:notify", "topic", "account-events-v1", "Read")) == "User:notify Read topic account-events-v1"
    assert str(Acl("User:topics-check", "cluster", "", "Describe")) == "User:topics-check Describe cluster"


@pytest.mark.parametrize("command", ["create", "check"])
def test_one_principal_for_all_is_refused(command: str) -> None:
    done = CliRunner().invoke(app, ["acls", command, "--bootstrap", "127.0.0.1:1", "--principal", "User:gongji"])
    assert done.exit_code == 2
    assert "{user}" in done.output

"""What a service says of itself is told in words, never as cut-off JSON."""

import json

import pytest

from gongji_local.readiness import Probe, ask, told


def body(**checks: tuple[bool, str, bool]) -> str:
    shown = {
        name: {"ok": ok, "why": why, "seconds": 12.3, "serving": serving} for name, (ok, why, serving) in checks.items()
    }
    return json.dumps({"ready": True, "checks": shown})


def test_why_a_service_is_not_ready_names_each_check_that_fails() -> None:
    answer = body(database=(False, "does not answer", True), relay=(False, "", True), process=(True, "", True))
    assert told(False, answer) == Probe(
        ready=False, why="database: does not answer (for 12 s); relay: not well (for 12 s)"
    )


def test_what_calls_do_not_need_is_a_warning() -> None:
    probe = told(True, body(database=(True, "", True), consumer=(False, "Kafka does not answer", False)))
    assert (probe.ready, probe.why, probe.warning) == (True, "", "consumer: Kafka does not answer (for 12 s)")
    assert not probe.well
    assert told(True, body(database=(True, "", True))).well


def test_a_service_of_which_nothing_is_known_says_so() -> None:
    assert told(False, json.dumps({"checks": {}})).why == "no check has reported yet"


@pytest.mark.parametrize("strange", ["", "<html>", "[]", '{"checks": 1}', '{"checks": {"a": {}}}'])
def test_an_answer_that_is_not_a_services_is_shown_as_it_is(strange: str) -> None:
    assert told(False, strange) == Probe(ready=False, why=strange)


def test_nobody_at_the_port_is_told(unused_tcp_port: int) -> None:
    assert ask(unused_tcp_port).why.startswith(f"it does not answer on 127.0.0.1:{unused_tcp_port}")

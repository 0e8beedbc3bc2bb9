"""Ports are free, and do not lie where outgoing connections take theirs from."""

import socket
from collections.abc import Iterator

import pytest

from gongji_local import ports
from gongji_local.errors import StackError
from gongji_local.ports import FIRST_PORT, LAST_PORT, LOOPBACK, free_port, is_free, listens


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_the_former_port_is_kept_while_nobody_listens_there() -> None:
    former = free_port(None, ())
    assert free_port(former, ()) == former


def test_a_former_port_that_somebody_took_is_given_up(listening_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PATIENCE_SECONDS", 0.1)
    assert not is_free(listening_port)
    assert free_port(listening_port, ()) != listening_port


def test_a_former_port_that_is_just_being_given_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(ports, "is_free", lambda _port: next(answers))
    assert free_port(21234, ()) == 21234


def test_a_port_that_another_part_has_is_not_given_again() -> None:
    former = free_port(None, ())
    assert free_port(former, {former}) != former


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    assert all(FIRST_PORT <= free_port(None, ()) < LAST_PORT < 32768 for _ in range(50))


def test_when_nothing_is_free_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    with pytest.raises(StackError, match="No free port"):
        free_port(None, ())


def test_somebody_listening_is_noticed(listening_port: int) -> None:
    assert listens(listening_port)
    assert not listens(free_port(None, ()))

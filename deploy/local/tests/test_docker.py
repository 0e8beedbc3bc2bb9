"""Containers are used only where they are asked for and Docker answers.

No engine is needed: what is tried is the decision and what is said when Docker does not answer.
"""

from pathlib import Path

import pytest

from gongji_local.choice import choose
from gongji_local.docker import ContainerKafka, ContainerPostgres, require_docker
from gongji_local.errors import StackError
from gongji_local.servers import servers_of
from gongji_local.stack import Stack
from gongji_local.state import StateBook


@pytest.fixture
def _no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")


@pytest.mark.usefixtures("_no_docker")
def test_without_an_engine_it_says_so_and_names_the_way_without() -> None:
    with pytest.raises(StackError, match="GONGJI_STACK=containers asks for Docker, and Docker does not answer") as told:
        require_docker()
    assert "unset GONGJI_STACK" in told.value.next_step
    assert "\n" not in told.value.problem


@pytest.mark.usefixtures("_no_docker")
def test_up_with_containers_and_no_engine_gives_the_sentence(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state", environ={"GONGJI_STACK": "containers"})
    with pytest.raises(StackError, match="Docker does not answer"):
        stack.up()


def test_asking_for_containers_chooses_containers(book: StateBook) -> None:
    servers = servers_of(book, {}, choose({"GONGJI_STACK": "containers"}))
    assert isinstance(servers.postgres, ContainerPostgres)
    assert isinstance(servers.kafka, ContainerKafka)
    assert not servers.postgres.is_ready()
    assert not servers.kafka.is_ready()

"""One function decides which servers are used."""

import pytest

from gongji_local.choice import Choice, Named, Source, choose, says_nothing
from gongji_local.errors import StackError

EMBEDDED, EXTERNAL, CONTAINERS, SECURED = Source.EMBEDDED, Source.EXTERNAL, Source.CONTAINERS, Source.SECURED
URL = "postgresql://admin:pw@db.example:5432/postgres"


def test_without_a_word_both_servers_are_embedded() -> None:
    assert choose({}) == Choice(EMBEDDED, EMBEDDED)


def test_servers_that_the_environment_names_are_used() -> None:
    environ = {"DATABASE_URL": URL, "KAFKA_BOOTSTRAP": "broker.example:9092"}
    assert choose(environ) == Choice(EXTERNAL, EXTERNAL, URL, "broker.example:9092")


def test_naming_one_server_leaves_the_other_embedded() -> None:
    assert choose({"DATABASE_URL": URL}) == Choice(EXTERNAL, EMBEDDED, URL)
    assert choose({}, Named(kafka_bootstrap="k:1")) == Choice(EMBEDDED, EXTERNAL, None, "k:1")


def test_an_option_wins_over_the_environment() -> None:
    chosen = choose({"KAFKA_BOOTSTRAP": "from-environment:1"}, Named(kafka_bootstrap="from-option:2"))
    assert chosen.kafka_bootstrap == "from-option:2"


def test_the_older_name_of_the_scheme_is_understood() -> None:
    assert choose({"DATABASE_URL": "postgres://a:b@h:1/d"}).postgres_url == "postgresql://a:b@h:1/d"


@pytest.mark.parametrize("mode", ["embedded", "containers", " Containers "])
def test_a_mode_that_starts_servers_leaves_the_environments_alone(mode: str) -> None:
    chosen = choose({"GONGJI_STACK": mode, "DATABASE_URL": URL, "KAFKA_BOOTSTRAP": "k:1"})
    assert chosen == Choice(Source(mode.strip().lower()), Source(mode.strip().lower()))


@pytest.mark.parametrize("mode", ["embedded", "containers"])
def test_a_mode_that_starts_servers_contradicts_an_option_that_names_one(mode: str) -> None:
    with pytest.raises(StackError, match=f"GONGJI_STACK={mode} contradicts --kafka"):
        choose({"GONGJI_STACK": mode}, Named(kafka_bootstrap="k:1"))


def test_external_wants_both_servers_named() -> None:
    with pytest.raises(StackError, match="KAFKA_BOOTSTRAP") as refusal:
        choose({"GONGJI_STACK": "external", "DATABASE_URL": URL})
    assert "DATABASE_URL" not in refusal.value.problem
    assert "unset GONGJI_STACK" in refusal.value.next_step


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StackError, match=r"kubernetes.*embedded, external, containers"):
        choose({"GONGJI_STACK": "kubernetes"})


def test_saying_nothing_is_told_from_saying_the_default() -> None:
    assert says_nothing({}, Named())
    assert not says_nothing({"GONGJI_STACK": "embedded"}, Named())
    assert not says_nothing({"DATABASE_URL": URL}, Named())
    assert not says_nothing({}, Named(kafka_bootstrap="k:1"))


@pytest.mark.parametrize("environ", [{}, {"GONGJI_STACK": "embedded"}, {"KAFKA_BOOTSTRAP": "k:1"}])
def test_a_secured_kafka_is_an_own_one_whatever_the_environment_names(environ: dict[str, str]) -> None:
    assert choose(environ, Named(kafka_secured=True)) == Choice(EMBEDDED, SECURED)
    assert not says_nothing(environ, Named(kafka_secured=True))


def test_a_secured_kafka_goes_with_a_postgresql_that_is_named() -> None:
    assert choose({"DATABASE_URL": URL}, Named(kafka_secured=True)) == Choice(EXTERNAL, SECURED, URL)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, Named(kafka_bootstrap="k:1", kafka_secured=True)),
        ({"GONGJI_STACK": "containers"}, Named(kafka_secured=True)),
        ({"GONGJI_STACK": "external", "DATABASE_URL": URL}, Named(kafka_secured=True)),
    ],
)
def test_a_secured_kafka_contradicts_one_that_is_somewhere_else(environ: dict[str, str], named: Named) -> None:
    with pytest.raises(StackError, match=r"--secured-kafka|KAFKA_BOOTSTRAP"):
        choose(environ, named)


def test_secured_is_no_mode_of_the_whole_stack() -> None:
    with pytest.raises(StackError, match="GONGJI_STACK is `secured`"):
        choose({"GONGJI_STACK": "secured"})

"""What the servers did wrong is a sentence with the address, the role and the next step; never with the password."""

import socket
import ssl

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError  # type: ignore[import-untyped]

from kit.dlq_replay import ReplayStoppedError
from kit.surroundings import explained

URL = "postgresql://gongji_binding:s3cret@db.example:6432/gongji_binding"
KAFKA = "kafka.example:9092"


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "does not answer (connection refused). Start it"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "does not answer (connection refused)"),
        (socket.gaierror(-2, "Name or service not known"), "does not answer (its host name is not known)"),
        (TimeoutError(), "does not answer (no answer in time)"),
        (asyncpg.InvalidPasswordError("x"), "refuses the password of the role gongji_binding. Correct GONGJI_DATABASE"),
        (asyncpg.InvalidCatalogNameError("x"), "has no database gongji_binding. Create it"),
        (
            asyncpg.UndefinedTableError("x"),
            "has no tables of this service in the database gongji_binding. Run the comm",
        ),
        (ssl.SSLCertVerificationError(1, "x"), "does not agree on TLS ("),
        (ssl.SSLError(1, "x"), "does not agree on TLS (SSLError). Look at its certificate"),
        (ConnectionError('PostgreSQL server at "x" rejected SSL upgrade'), "does not answer (it speaks no TLS)"),
        (asyncpg.DiskFullError("x"), "has no room left on its disk"),
        (asyncpg.CannotConnectNowError("x"), "is starting up or shutting down"),
        (caused(ReplayStoppedError("stopped"), ConnectionRefusedError()), "does not answer (connection refused)"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(error: Exception, words: str) -> None:
    told = str(explained(error, URL, KAFKA))
    assert told.startswith(f"PostgreSQL at db.example:6432 {words}")
    assert "s3cret" not in told


def test_a_kafka_that_does_not_answer_is_told_by_its_address() -> None:
    error = caused(ReplayStoppedError("stopped"), KafkaConnectionError("x"))
    told = str(explained(error, URL, KAFKA))
    assert told.startswith(f"Kafka at {KAFKA} does not answer. Start it")
    assert told.endswith("Then run it again: it goes on where it stopped.")


def test_a_kafka_that_refuses_is_not_called_silent() -> None:
    told = str(explained(TopicAuthorizationFailedError("x"), URL, KAFKA))
    assert told.startswith(f"Kafka at {KAFKA} refuses what was asked (TopicAuthorizationFailedError)")


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("x"), FileNotFoundError(2, "x"), asyncpg.SyntaxOrAccessError()]
)
def test_a_fault_of_the_program_is_none_of_the_surroundings(error: Exception) -> None:
    assert explained(error, URL, KAFKA) is None

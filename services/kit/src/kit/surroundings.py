"""What went wrong between a process and its servers, in a sentence: which server, as whom, and what to do next."""

import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError  # type: ignore[import-untyped]

from kit.db_errors import chain_of, is_unavailable, sqlstate_of
from kit.db_password import PasswordUnreadable
from kit.failures import OperatorError

DEFAULT_PORT: Final = 5432
CORRECT_URL: Final = "Correct GONGJI_DATABASE_URL."
# https://www.postgresql.org/docs/17/errcodes-appendix.html
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "28P01": ("refuses the password of the role {role}", "Correct GONGJI_DATABASE_URL, or the file that it names."),
    "28000": ("does not let the role {role} in", CORRECT_URL),
    "3D000": ("has no database {database}", f"Create it, or: {CORRECT_URL}"),
    "42501": ("does not allow that to the role {role}", CORRECT_URL),
    "42P01": ("has no tables of this service in the database {database}", "Run the command `migrate` first."),
    "53100": ("has no room left on its disk", "Free some; what waits goes on by itself."),
    "53300": ("has no connection left for the role {role}", "Run it again when others have ended."),
    "57P03": ("is starting up or shutting down", "Run it again in a moment."),
}


def explained(error: BaseException, database_url: str, kafka_bootstrap: str = "") -> OperatorError | None:
    """The sentence for a failure of Kafka or the database; None when it is another, a fault of the program."""
    found = _kafka_failure(error, kafka_bootstrap) or database_failure(error, database_url)
    afterwards = error.afterwards if isinstance(error, OperatorError) else ""
    return OperatorError(f"{found} {afterwards}") if found and afterwards else found


def database_failure(error: BaseException, url: str) -> OperatorError | None:
    """The sentence for a database that cannot be used; None when the error is not about that."""
    parts = urlsplit(url)
    known = {"role": unquote(parts.username or "nobody"), "database": unquote(parts.path.lstrip("/"))}
    refused = next((link for link in chain_of(error) if isinstance(link, PasswordUnreadable)), None)
    if refused is not None:
        return refused
    where = f"PostgreSQL at {parts.hostname}:{parts.port or DEFAULT_PORT}"
    what, then = _WORDS.get(sqlstate_of(error) or "", ("", ""))
    if what:
        return OperatorError(f"{where} {what.format(**known)}. {then}")
    if tls := next((link for link in chain_of(error) if isinstance(link, ssl.SSLError)), None):
        return OperatorError(
            f"{where} does not agree on TLS ({_tls_words(tls)}). Look at its certificate and sslrootcert."
        )
    if is_unavailable(error) or any(isinstance(link, TimeoutError) for link in chain_of(error)):
        return OperatorError(f"{where} does not answer ({_cause(error)}). Start it, or correct GONGJI_DATABASE_URL.")
    return None


def _tls_words(error: ssl.SSLError) -> str:
    # Both are there where OpenSSL said them, and only there.
    return getattr(error, "verify_message", None) or getattr(error, "reason", None) or type(error).__name__


def _kafka_failure(error: BaseException, bootstrap: str) -> OperatorError | None:
    link = next((link for link in chain_of(error) if isinstance(link, KafkaError)), None)
    if link is None:
        return None
    if isinstance(link, KafkaConnectionError | KafkaTimeoutError):
        return OperatorError(f"Kafka at {bootstrap} does not answer. Start it, or correct GONGJI_KAFKA_BOOTSTRAP.")
    return OperatorError(f"Kafka at {bootstrap} refuses what was asked ({type(link).__name__}). Look at its log.")


def _cause(error: BaseException) -> str:
    links = chain_of(error)
    if any(isinstance(link, socket.gaierror) for link in links):
        return "its host name is not known"
    if any(isinstance(link, ConnectionRefusedError) for link in links) or "Connect call failed" in str(links[-1]):
        return "connection refused"
    if "rejected SSL upgrade" in str(links[-1]):
        return "it speaks no TLS"
    if any(isinstance(link, TimeoutError) for link in links):
        return "no answer in time"
    return type(links[-1]).__name__

"""Logs, probes, metrics and traces, set up in one place."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from structlog.typing import Processor

from kit import redaction, tracing
from kit.clock import SystemClock
from kit.metrics import EVERY
from kit.probes import HttpProbes

__all__ = ["HttpProbes", "configure_logging", "get_logger", "tracing"]


_MOST_REASONS: Final = 100
LOST: Final = EVERY.counter(
    "gongji_log_lines_lost_total",
    "Lines of the log that could not be written: the disk that keeps it is full, or nobody reads it.",
    unit="lines",
)


class _StandardOutput:
    """Standard output as it is at the time of writing; whoever replaces it for a while gets the lines of that while.

    What cannot be written is counted and lost: a settlement must not fail, and its hospital not be told that it did,
    because the log has no room.
    """

    def write(self, text: str) -> int:
        with _counting():
            sys.stdout.write(text)
        return len(text)

    def flush(self) -> None:
        with _counting():
            sys.stdout.flush()


@contextmanager
def _counting() -> Iterator[None]:
    try:
        yield
    except OSError:
        LOST.inc()


_standard_output: Any = _StandardOutput()


def get_logger() -> Any:
    """The logger; bind what belongs together, name events in few constant words, and log no payloads."""
    return structlog.get_logger()


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send everything that is logged, by us or by libraries, to standard output as redacted JSON, one object a line."""
    before = _before(service)
    structlog.configure(
        processors=[*before, *_LAST],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_standard_output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_standard_output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_LAST],
        )
    )
    handler.addFilter(_ConnectingToKafka())
    logging.basicConfig(handlers=[handler], level=level, force=True)


class _ConnectingToKafka(logging.Filter):
    """Each reason why a broker cannot be reached is a warning, and told once: the client says it at every attempt.

    That Kafka is away, and that it is back, is told by the consumer and the relay.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "aiokafka" or record.levelno != logging.ERROR:
            return True
        what = record.getMessage()
        if what in self._told or len(self._told) >= _MOST_REASONS:
            return False
        self._told.add(what)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def _before(service: str) -> list[Processor]:
    # Real time also where a test moves the services' clock: whoever looks into a log asks what happened when.
    clock = SystemClock()

    def stamped(_logger: object, _method: str, event: Any) -> Any:
        # Without its zone a time is written in a third of the time; it is UTC all the same.
        event["timestamp"] = f"{clock.now().replace(tzinfo=None).isoformat()}Z"
        event["service"] = service
        return event

    return [structlog.processors.add_log_level, stamped]


_encode = json.JSONEncoder(ensure_ascii=False).encode


def _render(_logger: object, _method: str, event: Any) -> str:
    line = _encode(event)
    # Half a surrogate pair, as from a file name, can be printed to no stream.
    return line if line.isascii() else line.encode("utf-8", "backslashreplace").decode("utf-8")


def _traced(_logger: object, _method: str, event: Any) -> Any:
    """The trace of the call or event that the line belongs to; behind the redaction, which would see numbers in it."""
    if trace_id := tracing.current_trace_id():
        event["trace_id"] = trace_id
    return event


_LAST: list[Processor] = [structlog.processors.format_exc_info, redaction.processor, _traced, _render]

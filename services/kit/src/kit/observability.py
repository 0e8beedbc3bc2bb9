"""Logs, probes, metrics and traces, set up in one place."""

import json
import logging
import sys
from typing import Any

import structlog
from structlog.typing import Processor

from kit import redaction, tracing
from kit.clock import SystemClock
from kit.probes import HttpProbes

__all__ = ["HttpProbes", "configure_logging", "get_logger", "tracing"]


class _StandardOutput:
    """Standard output as it is at the time of writing; whoever replaces it for a while gets the lines of that while."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


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
    logging.basicConfig(handlers=[handler], level=level, force=True)


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

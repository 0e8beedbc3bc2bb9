"""`serve`: what keeps a process from starting is one line of its log at level error, and the exit status.

The line is the last one, so that Kubernetes shows it as the reason of the container's end (`FallbackToLogsOnError`).
"""

from collections.abc import Callable, Collection
from typing import Final, TypeVar

from kit.config import ConfigurationError, DatabaseSettings, Problem, load, unknown
from kit.failures import OperatorError
from kit.observability import configure_logging, get_logger

S = TypeVar("S", bound=DatabaseSettings)

STATUS_FAILED: Final = 1
STATUS_MISCONFIGURED: Final = 2


def served(
    service: str, settings_cls: type[S], serve: Callable[[S], int], known: Collection[type[DatabaseSettings]]
) -> int:
    """Serve by the settings of the environment; the exit status.

    `known` are the settings of all commands of the service: a variable that none of them reads is misspelt.
    """
    configure_logging(service)
    problems, settings = _loaded(service, settings_cls, known)
    if problems or settings is None:
        return _refused("settings", [str(each) for each in problems], STATUS_MISCONFIGURED)
    if faults := _unfit_files(settings, service):
        return _refused("files", faults, STATUS_FAILED)
    configure_logging(service, settings.log_level)
    try:
        return serve(settings)
    except Exception as error:
        if (sentence := sentence_of(error, settings)) is None:
            raise
        return _refused("process", [str(sentence)], STATUS_FAILED)


def sentence_of(error: Exception, settings: DatabaseSettings) -> OperatorError | None:
    """What an operator has to know of a failure; None if it is a fault of the program."""
    # Only here: most commands need neither driver to say what they say.
    from kit.surroundings import explained  # noqa: PLC0415

    found = explained(error, settings.database_url, getattr(settings, "kafka_bootstrap", ""))
    return found or (error if isinstance(error, OperatorError) else None)


def _loaded(
    service: str, settings_cls: type[S], known: Collection[type[DatabaseSettings]]
) -> tuple[list[Problem], S | None]:
    strange = unknown(known)
    try:
        return strange, load(settings_cls, service=service)
    except ConfigurationError as error:
        return [*error.problems, *strange], None


def _unfit_files(settings: DatabaseSettings, service: str) -> list[str]:
    # Only here: a process with wrong settings ends before it loads what reads certificates.
    from kit.checking_certificates import certificates  # noqa: PLC0415
    from kit.checking_secrecy import secrecy  # noqa: PLC0415

    findings = (*secrecy(settings), *certificates(settings, service))
    return [f"{each.subject}: {each.fault}" for each in findings if each.fault]


def _refused(what: str, why: list[str], status: int) -> int:
    get_logger().error("start failed", part=what, why="; ".join(why))
    return status

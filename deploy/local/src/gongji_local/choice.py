"""Which servers the stack uses: its own, ones that are already there, or containers. Decided here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gongji_local.errors import StackError

MODE_VARIABLE: Final = "GONGJI_STACK"
SECURED_OPTION: Final = "--secured-kafka"


class Source(StrEnum):
    """Where a server comes from."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"
    CONTAINERS = "containers"
    SECURED = "secured"
    """Embedded, with TLS and ACLs; of Kafka alone."""


_MODES: Final = (Source.EMBEDDED, Source.EXTERNAL, Source.CONTAINERS)


@dataclass(frozen=True, slots=True)
class Named:
    """Servers a person named; None where none was."""

    postgres_url: str | None = None
    kafka_bootstrap: str | None = None
    kafka_secured: bool = False
    """Not a named Kafka: an own one with TLS and ACLs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision, per server. A URL or address is present exactly where the source is EXTERNAL."""

    postgres: Source
    kafka: Source
    postgres_url: str | None = None
    kafka_bootstrap: str | None = None


NOTHING_NAMED: Final = Named()


def says_nothing(environ: Mapping[str, str], options: Named) -> bool:
    """Whether neither an option nor the environment asks for anything in particular."""
    return not environ.get(MODE_VARIABLE, "").strip() and _named(environ, options) == NOTHING_NAMED


def choose(environ: Mapping[str, str], options: Named = NOTHING_NAMED) -> Choice:
    """Decides from the options and the environment; nothing is started or asked.

    `GONGJI_STACK` unset: a named server is used, the other one is embedded. `external`: both must be named.
    `embedded` or `containers`: servers that the environment names are left alone; naming one by option as well
    is a contradiction.
    """
    mode = _mode(environ)
    if mode in {Source.EMBEDDED, Source.CONTAINERS}:
        _refuse_options(mode, options)
        return Choice(mode, Source.SECURED if options.kafka_secured else mode)
    named = _named(environ, options)
    if mode is Source.EXTERNAL:
        _require_both(named)
    kafka = Source.SECURED if named.kafka_secured else _source(named.kafka_bootstrap)
    return Choice(_source(named.postgres_url), kafka, named.postgres_url, named.kafka_bootstrap)


def _mode(environ: Mapping[str, str]) -> Source | None:
    text = environ.get(MODE_VARIABLE, "").strip().lower()
    if text and text not in _MODES:
        raise StackError(f"{MODE_VARIABLE} is `{text}`.", f"Set it to one of {', '.join(_MODES)}, or unset it.")
    return Source(text) if text else None


def _named(environ: Mapping[str, str], options: Named) -> Named:
    if options.kafka_secured and options.kafka_bootstrap:
        raise StackError(f"--kafka contradicts {SECURED_OPTION}.", "Leave one of them out.")
    kafka = None if options.kafka_secured else options.kafka_bootstrap or environ.get("KAFKA_BOOTSTRAP") or None
    return Named(
        _asyncpg_scheme(options.postgres_url or environ.get("DATABASE_URL") or None), kafka, options.kafka_secured
    )


def _asyncpg_scheme(url: str | None) -> str | None:
    """`postgres://` is the older name of the same scheme."""
    return f"postgresql://{url.removeprefix('postgres://')}" if url and url.startswith("postgres://") else url


def _source(address: str | None) -> Source:
    return Source.EXTERNAL if address else Source.EMBEDDED


def _refuse_options(mode: Source, options: Named) -> None:
    named = [("--postgres-url", options.postgres_url), ("--kafka", options.kafka_bootstrap)]
    if mode is Source.CONTAINERS:
        named.append((SECURED_OPTION, SECURED_OPTION if options.kafka_secured else None))
    for option, value in named:
        if value:
            raise StackError(
                f"{MODE_VARIABLE}={mode} contradicts {option}.",
                f"Unset {MODE_VARIABLE} or leave {option} out.",
            )


def _require_both(named: Named) -> None:
    wanted = {
        "DATABASE_URL (or --postgres-url)": named.postgres_url,
        "KAFKA_BOOTSTRAP (or --kafka)": named.kafka_bootstrap,
    }
    missing = " and ".join(name for name, value in wanted.items() if not value)
    if missing:
        raise StackError(
            f"{MODE_VARIABLE}=external needs servers that are already there, and {missing} is not set.",
            f"Set it, or unset {MODE_VARIABLE} to let the stack start its own.",
        )

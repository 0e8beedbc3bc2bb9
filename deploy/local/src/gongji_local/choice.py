"""Which servers the stack uses: its own, ones that are already there, or containers. Decided here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gongji_local.errors import StackError

MODE_VARIABLE: Final = "GONGJI_STACK"


class Source(StrEnum):
    """Where a server comes from."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"
    CONTAINERS = "containers"


@dataclass(frozen=True, slots=True)
class Named:
    """Servers a person named; None where none was."""

    postgres_url: str | None = None
    kafka_bootstrap: str | None = None


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
        return Choice(mode, mode)
    named = _named(environ, options)
    if mode is Source.EXTERNAL:
        _require_both(named)
    return Choice(
        _source(named.postgres_url), _source(named.kafka_bootstrap), named.postgres_url, named.kafka_bootstrap
    )


def _mode(environ: Mapping[str, str]) -> Source | None:
    text = environ.get(MODE_VARIABLE, "").strip().lower()
    try:
        return Source(text) if text else None
    except ValueError as error:
        allowed = ", ".join(Source)
        raise StackError(f"{MODE_VARIABLE} is `{text}`.", f"Set it to one of {allowed}, or unset it.") from error


def _named(environ: Mapping[str, str], options: Named) -> Named:
    return Named(
        _asyncpg_scheme(options.postgres_url or environ.get("DATABASE_URL") or None),
        options.kafka_bootstrap or environ.get("KAFKA_BOOTSTRAP") or None,
    )


def _asyncpg_scheme(url: str | None) -> str | None:
    """`postgres://` is the older name of the same scheme."""
    return f"postgresql://{url.removeprefix('postgres://')}" if url and url.startswith("postgres://") else url


def _source(address: str | None) -> Source:
    return Source.EXTERNAL if address else Source.EMBEDDED


def _refuse_options(mode: Source, options: Named) -> None:
    for option, value in (("--postgres-url", options.postgres_url), ("--kafka", options.kafka_bootstrap)):
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

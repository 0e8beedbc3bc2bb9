"""`config --check`: whether what the settings name is there and fits together, before a deployment finds out.

A finding is one line. Files and certificates are looked at by themselves; PostgreSQL and Kafka are asked, unless told
not to, and nothing is changed anywhere.
"""

import asyncio
import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from kit.config import DatabaseSettings, unknown, variable
from kit.demands import Surroundings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    fault: str = ""
    """Why it is wrong, and what to do; empty if it is right."""
    note: str = ""
    """What there is to know of it although it is right."""
    refused: bool = False
    """Whether the fault is a right that somebody has to give."""

    def __str__(self) -> str:
        said = self.fault or self.note
        return f"{'✗' if self.fault else '✓'} {self.subject}" + (f": {said}" if said else "")


def look(
    settings: DatabaseSettings,
    around: Surroundings,
    known: Collection[type[DatabaseSettings]],
    *,
    offline: bool = False,
) -> Iterator[Finding]:
    """Everything that can be said of these settings, which are right as far as they go, one after the other.

    `known` are the settings of all commands of the service, whose variables may be in the environment, too.
    """
    # Only here: each of these takes long to load, and most commands need none of it.
    from kit.checking_certificates import certificates  # noqa: PLC0415
    from kit.checking_secrecy import secrecy  # noqa: PLC0415

    yield Finding("settings", note=f"{len(type(settings).model_fields)} variables")
    yield from (Finding(each.variable, fault=each.what) for each in unknown(known))
    yield from _rings(settings)
    yield from secrecy(settings)
    yield from certificates(settings, around.service)
    if offline:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its plugins while it loads
    from kit.checking_database import database  # noqa: PLC0415
    from kit.checking_kafka import kafka  # noqa: PLC0415

    yield from asyncio.run(database(settings, around.migrations))
    yield from asyncio.run(kafka(settings, around))


def _rings(settings: DatabaseSettings) -> Iterator[Finding]:
    """Rings were read when the settings were, so they are right; which key is the active one is to be seen."""
    for name in type(settings).model_fields:
        path = getattr(settings, name)
        if path is not None and name.endswith("keyring_file"):
            ring = json.loads(path.read_text(encoding="utf-8"))
            keys = "1 key" if len(ring["keys"]) == 1 else f"{len(ring['keys'])} keys"
            yield Finding(variable(name), note=f"{keys}, {ring['active']} is active")

"""To which points in time the databases of a stack are restored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gongji_local.errors import StackError

EXAMPLE: Final = "2026-05-01T12:00:00+08:00"
Point = datetime | None
"""None: everything that is archived."""


@dataclass(frozen=True, slots=True)
class Points:
    """A point for each service."""

    of: Mapping[str, Point]

    @property
    def latest(self) -> Point:
        """The server goes on from here: transaction numbers that a database keeps must lie behind it."""
        points = [point for point in self.of.values() if point is not None]
        return None if None in self.of.values() else max(points)

    @property
    def apart(self) -> dict[str, datetime]:
        """The services that are restored to an earlier point than the latest."""
        latest = self.latest
        return {service: point for service, point in self.of.items() if point is not None and point != latest}


def points_of(services: Sequence[str], at: str, each: Sequence[str]) -> Points:
    """The points that a command line names; one point for all, and others for single services.

    Raises:
        StackError: a time has no offset, or a service is not known.
    """
    general = _moment(at) if at else None
    points: dict[str, Point] = dict.fromkeys(services, general)
    for named in each:
        service, _, text = named.partition("=")
        if service not in points:
            raise StackError(f"There is no service called {service}.", f"Choose from {', '.join(services)}.")
        points[service] = _moment(text)
    return Points(points)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise StackError(f"{text!r} is no time with its offset.", f"Write it such as {EXAMPLE}.")
    return moment

"""Which settings each command demands, and what a service has around it, besides them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer

from kit.config import DatabaseSettings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service has around it, besides its settings."""

    service: str
    migrations: Path
    consumed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The topics of each of its consumer groups."""


_needs: dict[Callable[..., Any], type[DatabaseSettings] | None] = {}


def needs(settings_cls: type[DatabaseSettings] | None) -> Callable[[F], F]:
    """Say which settings a command demands, None for none; `docs/configuration.md` is made from it."""

    def noted(command: F) -> F:
        _needs[command] = settings_cls
        return command

    return noted


def needed_by(app: typer.Typer, prefix: str = "") -> dict[str, type[DatabaseSettings] | None]:
    """The settings that each command demands, by its name as it is typed.

    Raises:
        KeyError: a command does not say so, see `needs`.
    """
    found = {f"{prefix}{each.name}": _needs[each.callback] for each in app.registered_commands if each.callback}
    for group in app.registered_groups:
        if group.typer_instance is not None:
            found |= needed_by(group.typer_instance, f"{prefix}{group.name} ")
    return found

"""`python -m gongji_local.config_docs OUT.md`: the reference of all settings, from the classes that read them."""

import enum
import types
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gongji_local.services import SERVICES
from kit.__main__ import app as kit_app
from kit.config import SERVICE, DatabaseSettings, ServiceSettings, variable
from kit.demands import needed_by

Commands = Mapping[str, type[DatabaseSettings] | None]

_HEAD: Final = """# Settings

Every process is told everything by environment variables, which are read once; what is wrong with them is told all at
once, with status 2 and before anything is done. An empty variable counts as not set. `python -m SERVICE config` prints
what is in effect, secrets masked; `python -m SERVICE config --check` looks whether what they name is there and fits
together.

Made by `make config-docs` from the classes that read the settings; a test tells when it is not in step.

In the tables **required** means that there is no default. Which command demands which variables is said by service; a
command reads no others.
"""
_COMMON: Final = """## Every service

What `serve` of each service reads, besides the service's own further below, which count where both name a variable.
"""
_TOPICS: Final = """## Topics

`python -m kit topics` and `python -m kit acls` take options; these variables stand for them.
"""
_BOUNDS: Final = {Ge: ("ge", "at least"), Gt: ("gt", "more than"), Le: ("le", "at most"), Lt: ("lt", "less than")}


def reference() -> str:
    """The whole document."""
    parts = [_HEAD, _COMMON, _table(ServiceSettings.model_fields, SERVICE)]
    for service in SERVICES:
        parts += _of_service(service)
    parts += [_TOPICS, _options(kit_app)]
    return "\n".join(parts)


def commands_of(service: str) -> Commands:
    """The settings that each command of a service demands."""
    return needed_by(import_module(f"{service}.cli").app)


def _of_service(service: str) -> Iterator[str]:
    commands = commands_of(service)
    yield f"## {service}\n"
    yield _command_table(commands)
    own: dict[str, FieldInfo] = {}
    for settings_cls in filter(None, commands.values()):
        own |= {name: field for name, field in settings_cls.model_fields.items() if name not in own}
    serving = commands["serve"] or ServiceSettings
    own |= serving.model_fields  # where a command says less of it than `serve`, the latter counts
    common = ServiceSettings.model_fields
    yield _table({name: field for name, field in own.items() if not _same(field, common.get(name))}, service)


def _same(field: FieldInfo, other: FieldInfo | None) -> bool:
    return other is not None and (field.description, field.default) == (other.description, other.default)


def _command_table(commands: Commands) -> str:
    alike: dict[tuple[str, str], list[str]] = {}
    for name, settings_cls in sorted(commands.items()):
        fields = settings_cls.model_fields if settings_cls else {}
        required = [variable(each) for each, field in fields.items() if field.is_required()]
        optional = [variable(each) for each, field in fields.items() if not field.is_required()]
        alike.setdefault((_listed(required), _listed(optional)), []).append(name)
    rows = [(_listed(names), *demanded) for demanded, names in alike.items()]
    return _rows(("command", "demands", "takes, too"), rows)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def _table(fields: Mapping[str, FieldInfo], service: str) -> str:
    return _rows(
        ("variable", "default", "meaning", "example"),
        [_row(name, fields[name], service) for name in sorted(fields)],
    )


def _row(name: str, field: FieldInfo, service: str) -> tuple[str, str, str, str]:
    example = str(field.examples[0]).replace(SERVICE, service) if field.examples else ""
    meaning = f"{field.description} {_bounds(field)}".strip()
    return f"`{variable(name)}`", _default(field), meaning, f"`{example}`" if example else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value in ("", {}):
        return "none"
    return f"`{_text(value)}`"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))


def _bounds(field: FieldInfo) -> str:
    told = []
    if values := _choices(field.annotation):
        told.append("One of " + ", ".join(f"`{value}`" for value in values))
    for limit in field.metadata:
        if (known := _BOUNDS.get(type(limit))) is not None:
            told.append(f"{known[1]} {_text(getattr(limit, known[0]))}")
        elif isinstance(limit, MinLen | MaxLen):
            continue
        elif pattern := getattr(limit, "pattern", None):
            told.append(f"as `{pattern}`")
    text = ", ".join(told)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _choices(annotation: Any) -> list[str]:
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType, Annotated}:
        return [value for part in get_args(annotation) for value in _choices(part)]
    if origin is Literal:
        return [str(value) for value in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [str(member.value) for member in annotation]
    return []


def _options(app: typer.Typer) -> str:
    seen: dict[str, tuple[str, str, str]] = {}
    for command in _leaves(typer.main.get_command(app)):
        for option in command.params:
            if isinstance(option.envvar, str):
                default = "**required**" if option.required else "none"
                seen[option.envvar] = (f"`{option.envvar}`", default, option.help or f"As `{option.opts[0]}`.")
    return _rows(("variable", "default", "meaning"), [seen[name] for name in sorted(seen)])


def _leaves(command: Any) -> Iterator[Any]:
    if children := getattr(command, "commands", None):
        for child in children.values():
            yield from _leaves(child)
    else:
        yield command


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def main(out: Annotated[Path, typer.Argument(help="The file to write.")]) -> None:
    """Write the reference of all settings."""
    out.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

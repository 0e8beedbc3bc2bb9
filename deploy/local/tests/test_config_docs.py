"""The reference of settings is in step with the classes that read them, and leaves nobody to guess."""

from pathlib import Path

import pytest
import typer

from gongji_local.config_docs import commands_of, reference
from gongji_local.services import SERVICES
from kit.config import DatabaseSettings, variable
from kit.demands import needed_by

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_in_step() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run make config-docs"


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_every_command_is_explained_with_an_example(service: str) -> None:
    unexplained = [
        f"{name}: {variable(field_name)}"
        for name, settings_cls in commands_of(service).items()
        for field_name, field in (settings_cls.model_fields if settings_cls else {}).items()
        if not (field.description and field.examples)
    ]
    assert unexplained == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_every_command_is_on_the_page(service: str) -> None:
    page = reference()
    names = {variable(name) for each in commands_of(service).values() if each for name in each.model_fields}
    assert [name for name in sorted(names) if f"\n| `{name}` |" not in page] == []


def test_what_has_no_default_is_said_to_be_required() -> None:
    (line,) = (each for each in reference().splitlines() if each.startswith("| `GONGJI_TLS_CERT_FILE`"))
    assert "**required**" in line


def test_every_command_says_what_it_needs() -> None:
    assert commands_of("settlement")["daily-file"] is DatabaseSettings
    assert commands_of("notify")["texts"] is None
    assert {"serve", "migrate", "config", "dlq replay"} <= commands_of("notify").keys()


def test_a_command_that_does_not_say_what_it_needs_is_refused() -> None:
    app = typer.Typer()
    app.command("nameless")(lambda: None)
    with pytest.raises(KeyError):
        needed_by(app)

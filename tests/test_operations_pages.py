"""What docs/operations tells to type, to set and to look at is there; and its first page leads to every other."""

import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from gongji_local.cli import app as local_app

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "docs" / "operations"
PAGES: Final = sorted(FOLDER.glob("*.md"))
SERVICES: Final = ("identity", "binding", "settlement", "notify")
EVERY: Final = "SERVICE"
"""Stands for each of the services in a command."""
BLOCK: Final = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE: Final = re.compile(r"`([^`\n]+)`")
OF_A_SERVICE: Final = re.compile(
    rf"python -m ({'|'.join(SERVICES)}|{EVERY}|<service>) ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?"
)
LOCAL: Final = re.compile(r"gongji-local ([a-z][a-z-]*)")
VARIABLE: Final = re.compile(r"\bGONGJI_[A-Z][A-Z_]*[A-Z]\b")
METRIC: Final = re.compile(r"\bgongji_[a-z_]*[a-z]\b")
NO_METRICS: Final = re.compile(r"gongji_(?:local|images|monitoring|identity|binding|settlement|notify|service)$")


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def text(request: pytest.FixtureRequest) -> str:
    page: Path = request.param
    return page.read_text(encoding="utf-8")


def typed(text: str) -> str:
    """What is set as code."""
    return "\n".join([*BLOCK.findall(text), *INLINE.findall(text)])


def commands_of(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = getattr(get_command(app), "commands")  # noqa: B009 - of a group, which mypy cannot know
    return found


def has_command(service: str, command: str, below: str) -> bool:
    """Whether there is `python -m SERVICE COMMAND`; and BELOW of it, if that is a group of commands."""
    found = commands_of(import_module(f"{service}.cli").app).get(command)
    inner = getattr(found, "commands", None)
    return found is not None and (inner is None or not below or below in inner)


def test_a_command_of_a_service_exists(text: str) -> None:
    for service, command, below in OF_A_SERVICE.findall(typed(text)):
        # Not every service has every command: identity consumes nothing, so it has no dead letters.
        asked = SERVICES if service not in SERVICES else (service,)
        assert any(has_command(each, command, below) for each in asked), f"python -m {service} {command} {below}"


def test_a_command_of_the_local_stack_exists(text: str) -> None:
    assert set(LOCAL.findall(typed(text))) <= set(commands_of(local_app))


def test_a_shell_can_read_what_is_to_be_typed(text: str) -> None:
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        read = subprocess.run(["/bin/bash", "-n"], input=block, text=True, capture_output=True, check=False, timeout=20)
        assert (read.returncode, read.stderr) == (0, ""), block


def test_a_variable_is_one_of_a_settings_class(text: str) -> None:
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert set(VARIABLE.findall(text)) <= set(VARIABLE.findall(configuration))


def test_a_metric_is_one_of_the_catalogue(text: str) -> None:
    catalogue = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = {name for name in METRIC.findall(text) if not NO_METRICS.fullmatch(name)}
    assert {name for name in named if name not in catalogue} == set()


def test_the_first_page_leads_to_every_other() -> None:
    first = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in first] == []

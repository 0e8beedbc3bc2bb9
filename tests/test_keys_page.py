"""What docs/operations/keys.md tells operators to type can be typed, and what it says is shown is there."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from binding import sealed as binding
from identity import sealed as identity
from kit.__main__ import app
from notify import sealed as notify
from settlement import sealed as settlement

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations" / "keys.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_for_rings_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["keyring", "new", "keyring.json", "k1"]).exit_code == 0
    commands = re.findall(r"^python -m kit (keyring [^#\n]*)", SCRIPTS[0], re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, done.output
    assert "* k2" in CliRunner().invoke(app, ["keyring", "show", "keyring.json"]).output


def test_a_new_password_is_made_as_documented(tmp_path: Path) -> None:
    (script,) = re.findall(r"(umask 077; head .*)", PAGE)
    subprocess.run(["/bin/sh", "-euc", script], cwd=tmp_path, check=True, timeout=30)  # noqa: S603 - of this repository
    assert re.fullmatch(r"[0-9a-f]{48}", (tmp_path / "new").read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_whole(script: str) -> None:
    subprocess.run(["/bin/sh", "-nc", script], check=True, timeout=30)  # noqa: S603 - as above


def test_what_shows_it_is_there() -> None:
    shown = set(re.findall(r"`((?:services|tests)/[^`]+)`", PAGE))
    assert len(shown) > 6
    assert [path for path in shown if not list(ROOT.glob(path))] == []


def test_every_table_that_is_moved_is_named() -> None:
    tables = {table.name for each in (identity, binding, settlement, notify) for table in each.TABLES}
    assert {name for name in tables if f"`{name}`" in PAGE} == tables

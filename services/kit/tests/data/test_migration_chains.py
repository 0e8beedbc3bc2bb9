"""The services' migrations are one line each: numbered on, each after the one before."""

import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3]
FOLDERS = sorted(SERVICES.glob("*/migrations/versions"))
STATED = re.compile(r'^(revision|down_revision)\b[^=]*= (?:"(\w+)"|None)', re.MULTILINE)


def test_every_service_has_migrations() -> None:
    assert [folder.parts[-3] for folder in FOLDERS] == ["binding", "identity", "notify", "settlement"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parts[-3])
def test_migrations_are_numbered_on_and_follow_each_other(folder: Path) -> None:
    files = sorted(folder.glob("*.py"))
    stated = [dict(STATED.findall(file.read_text(encoding="utf-8"))) for file in files]
    numbers = [f"{number:04d}" for number in range(1, len(files) + 1)]
    assert [file.name[:4] for file in files] == numbers
    assert [one["revision"] for one in stated] == numbers
    assert [one["down_revision"] for one in stated] == ["", *numbers[:-1]]

"""docs/operations/security.md names for each threat a mechanism, and a test that is there."""

import re
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path(__file__).parent.parent / "docs" / "operations" / "security.md"
BOUNDARIES: Final = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
LINK: Final = re.compile(r"\[(\w+)\]\(([^)]+\.py)\)")


def rows() -> list[list[str]]:
    section = PAGE.read_text(encoding="utf-8").split("## Threats\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| B")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[1])
def test_each_threat_has_a_kind_a_mechanism_and_a_test_that_is_there(row: list[str]) -> None:
    where, threat, mechanism, shown_by = row
    assert re.fullmatch(r"B[1-7] [STRIDE]", where)
    assert threat
    assert mechanism
    found = LINK.findall(shown_by)
    assert found
    for name, target in found:
        file = (PAGE.parent / target).resolve()
        assert file.stem == name
        assert "def test_" in file.read_text(encoding="utf-8")


def test_every_boundary_of_the_diagram_has_its_threats() -> None:
    assert {row[0][:2] for row in rows()} == set(BOUNDARIES)
    diagram = PAGE.read_text(encoding="utf-8").split("```mermaid\n", 1)[1].split("```", 1)[0]
    assert set(re.findall(r'"(B\d)', diagram)) == set(BOUNDARIES)

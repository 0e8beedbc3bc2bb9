"""The documents keep up with the tree: what they link to is there, what they tell to type exists."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?://)([^)\s#]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"(?:`|^|^\$ )make ([a-z][a-z0-9-]+)", re.MULTILINE)
RULE = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
MODULE = re.compile(r"python -m (?!pip|venv)([a-z_.]+)")


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*.md"],  # noqa: S607 - whichever git the checkout was made with
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def anchors(document: Path) -> set[str]:
    """The names that a forge gives the headings of a document."""
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    # Code may look like a link, and a link may be told by code: its text is of no matter here.
    text = CODE.sub("", FENCED.sub("", document.read_text(encoding="utf-8")))
    missing = []
    for target, anchor in LINK.findall(text):
        file = (document.parent / target) if target else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            missing.append(f"{target}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_tasks_and_modules_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    tasks = set(RULE.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    code = "\n".join(re.findall(r"`[^`\n]+`", text) + FENCED.findall(text))
    assert set(TARGET.findall(code)) <= tasks
    modules = {name.split(".")[0] for name in MODULE.findall(code)} - {"http"}
    installed = {path.name for folder in ("services/*/src/*", "deploy/local/src/*") for path in ROOT.glob(folder)}
    assert modules <= installed | {"pytest", "grpc_tools"}


def test_what_is_called_the_same_in_two_examples_is_the_same() -> None:
    first, second = (ROOT / "examples" / "consumers").glob("python-*/books.py")
    assert first.read_bytes() == second.read_bytes()


def test_each_decision_has_a_number_of_its_own_which_its_heading_says() -> None:
    decisions = sorted((ROOT / "services" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    headings = [path.read_text(encoding="utf-8").split(". ", 1)[0] for path in decisions]
    assert headings == [f"# {number}" for number in range(1, len(decisions) + 1)]

"""What clients see is counted rightly, and where earlier code comes from."""

import subprocess
from pathlib import Path

import pytest
from rolling.replace import Result, applied_in
from rolling.seen import FAILED_CODES, Tally
from rolling.sources import HOT_TABLES, ROLLS, THIS, SourceError, before_newest_migration, earlier, with_made_up_step
from support.migration_rules import of_file

from gongji_local.services import SERVICES
from gongji_local.state import repository_root

SETTLE = "gongji.settlement.v1.SettlementService/Settle"
VERSIONS = "services/binding/migrations/versions"


def git(folder: Path, *arguments: str) -> None:
    named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607


def put_clients(root: Path, text: str) -> None:
    """The file that tells whether replicas of this code can be replaced."""
    file = root / ROLLS[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Three commits: a migration, another one, and a change of something else."""
    root = tmp_path / "clone"
    (root / VERSIONS).mkdir(parents=True)
    (root / "protos/gen").mkdir(parents=True)
    (root / "protos/gen/a.py").write_text("")
    put_clients(root, "healthCheckConfig")
    git(tmp_path, "init", "-q", str(root))
    for number, file in enumerate((f"{VERSIONS}/0001_a.py", f"{VERSIONS}/0002_b.py", "services/README.md"), 1):
        (root / file).write_text(str(number))
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", f"commit {number}")
    return root


def test_earlier_code_is_that_of_the_newest_commit_with_other_migrations(clone: Path, tmp_path: Path) -> None:
    found = earlier(clone, "", tmp_path / "earlier")
    assert found.tree is not None
    assert sorted(file.name for file in (found.tree / VERSIONS).iterdir()) == ["0001_a.py"]
    assert str(found.tree / "services/binding/src") in found.environ["PYTHONPATH"]


def test_a_migration_that_is_not_committed_makes_the_commit_the_earlier_code(clone: Path) -> None:
    (clone / VERSIONS / "0003_c.py").write_text("3")
    assert before_newest_migration(clone) == "HEAD"


def test_a_commit_or_a_folder_is_taken_as_named(clone: Path, tmp_path: Path) -> None:
    found = earlier(clone, "HEAD^", tmp_path / "earlier")
    assert sorted(file.name for file in (tmp_path / "earlier" / VERSIONS).iterdir()) == ["0001_a.py", "0002_b.py"]
    assert earlier(clone, str(found.tree), tmp_path / "unused").tree == found.tree


def test_where_there_is_no_earlier_code_it_says_so(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no clone"):
        earlier(tmp_path, "", tmp_path / "earlier")
    with pytest.raises(SourceError, match="no commit nowhere"):
        earlier(clone, "nowhere", tmp_path / "earlier")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{clone}", "shallow")
    with pytest.raises(SourceError, match="shallow"):
        earlier(tmp_path / "shallow", "", tmp_path / "earlier")


def test_code_that_is_older_than_rolling_upgrades_is_refused(clone: Path, tmp_path: Path) -> None:
    put_clients(clone, "round_robin")
    git(clone, "commit", "-qam", "commit 4")
    with pytest.raises(SourceError, match="is older than rolling upgrades"):
        earlier(clone, "HEAD", tmp_path / "earlier")
    with pytest.raises(SourceError, match="is older than rolling upgrades"):
        earlier(clone, str(tmp_path), tmp_path / "unused")
    assert earlier(clone, "HEAD^", tmp_path / "before").tree == tmp_path / "before"


def test_this_checkout_is_code_that_rolls() -> None:
    file, needed = ROLLS
    assert needed in (repository_root() / file).read_text(encoding="utf-8")


def test_of_what_migrate_prints_only_the_steps_are_taken_for_such() -> None:
    printed = '{"event": "Will assume transactional DDL.", "level": "info"}\napplied 0021 Something new\nup to date\n'
    assert applied_in(printed) == ["0021 Something new"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_made_up_step_follows_the_newest_and_is_as_a_step_should_be(service: str, tmp_path: Path) -> None:
    folder = with_made_up_step(repository_root(), service, tmp_path)
    newest = max(folder.glob("versions/*.py"))
    assert newest.name.endswith("_made_up.py")
    assert HOT_TABLES[service] in newest.read_text(encoding="utf-8")
    assert of_file(newest) == set()


def test_this_checkout_is_what_is_installed() -> None:
    assert THIS.environ == {}


@pytest.mark.parametrize("code", sorted(FAILED_CODES))
def test_a_code_that_says_nothing_about_the_request_is_a_failure(code: str) -> None:
    tally = Tally()
    tally.saw(SETTLE, code, "why", 0.1)
    assert tally.told() == [f"1 × {SETTLE}: {code} why"]


def test_failures_that_differ_in_their_id_alone_are_one_kind() -> None:
    tally = Tally()
    for error_id in ("01a218175d64764e8ff59033832bac7b", "01a218175d6a76898b7e54ccb4b38c5d"):
        tally.saw(SETTLE, "INTERNAL", f"internal error {error_id}; report this id", 0.1)
    assert tally.told() == [f"2 × {SETTLE}: INTERNAL internal error …; report this id"]


@pytest.mark.parametrize("code", ["OK", "ABORTED", "FAILED_PRECONDITION", "NOT_FOUND", "ALREADY_EXISTS"])
def test_an_answer_about_the_request_is_none(code: str) -> None:
    tally = Tally()
    tally.saw(SETTLE, code, "why", 0.1)
    tally.saw_reason("one bill", "LIMIT_REACHED")
    tally.saw_reason("one bill", None)
    assert (tally.told(), tally.count) == ([], 1)


def test_a_settlement_that_was_given_up_is_one() -> None:
    tally = Tally()
    tally.saw_reason("one bill", "ABANDONED")
    assert tally.failed.total() == 1


def test_stretches_add_up() -> None:
    result, tally = Result(), Tally()
    tally.saw(SETTLE, "OK", "", 0.1)
    tally.saw(SETTLE, "UNAVAILABLE", "", 0.1)
    result.count(tally)
    result.count(tally)
    assert (result.calls, result.failed, result.by_service) == (4, 2, {"settlement": 4})
    assert len(result.wrong) == 2

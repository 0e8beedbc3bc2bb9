"""`identity import` on a real database: as processes killed, stopped and two at once, and with files that are wrong."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from gongji.identity.events.v1 import events_pb2
from gongji_local.blocking import run_blocking
from gongji_local.clock import wait_until
from identity.cli import app
from identity.domain.person import Person
from identity.importing.csv_file import COLUMNS
from identity.postgres import PostgresRepository
from identity.testing import ADULT, CARD_SN, NAME, TEL, identity_number, keyring, vault
from kit.db import Database

pytestmark = pytest.mark.timeout(300)  # processes are started, on a machine that may be busy

PATIENCE_SECONDS = 120.0
ROWS = 1500
COUNTS = "SELECT next_row, changed_count, unchanged_count, refused_count, complete FROM insured_import"


def line(number: int, **changed: str) -> str:
    fields = {
        "psn_no": f"P{number}",
        "psn_name": NAME,
        "psn_cert_type": "01",
        "certno": identity_number(ADULT.replace(year=1950 + number // 900), 1 + number % 900),
        "brdy": ADULT.replace(year=1950 + number // 900).isoformat(),
        "tel": TEL,
        "card_sn": f"{CARD_SN}{number}",
        "insutype": "310",
        "insuplc_admdvs": "652701",
        "psn_insu_stas": "1",
        "arrears": "0",
        "valid_from": "2025-01-01",
        "valid_to": "",
    }
    return ",".join({**fields, **changed}.values())


def lines(count: int = ROWS) -> list[str]:
    """People, of whom every tenth has no birthday and every seventh row says something new of the one before."""
    made = []
    for number in range(1, count + 1):
        if number % 10 == 0:
            made.append(line(number, brdy="1985-02-30"))
        elif number % 7 == 0:
            made.append(line(number - 1, arrears="1") if (number - 1) % 10 else line(number))
        else:
            made.append(line(number))
    return made


@dataclass(frozen=True)
class Office:
    """A database and a folder, in which registers are imported by processes of their own."""

    database_url: str
    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def file(self, content: list[str], name: str = "register.csv", encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.write_text("\n".join([",".join(COLUMNS), *content]) + "\n", encoding=encoding)
        return path

    @property
    def settings(self) -> dict[str, str]:
        return {
            "GONGJI_ENVIRONMENT": "local",
            "GONGJI_DATABASE_URL": self.database_url,
            "GONGJI_KEYRING_FILE": str(keyring(self.folder)),
        }

    def start(self, file: Path, *options: str) -> subprocess.Popen[str]:
        """A process, to be disturbed."""
        command = [sys.executable, "-m", "identity", "import", str(file), *options]
        process = subprocess.Popen(  # noqa: S603 - our own
            command, env=os.environ | self.settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        return process

    def run(self, file: Path, *options: str) -> tuple[int, str]:
        """The command to its end, in this process."""
        ended = CliRunner().invoke(app, ["import", str(file), *options], env=self.settings)
        return ended.exit_code, ended.output

    def fetch(self, query: str) -> list[asyncpg.Record]:
        async def fetch() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return await connection.fetch(query)
            finally:
                await connection.close()

        return run_blocking(fetch)

    def wait_for_row(self, row: int, process: subprocess.Popen[str]) -> None:
        def reached() -> bool:
            found = self.fetch("SELECT next_row FROM insured_import")
            return process.poll() is not None or bool(found and found[0]["next_row"] > row)

        wait_until(reached, PATIENCE_SECONDS)
        assert process.poll() is None, process.communicate()[0]

    def persons(self) -> dict[str, Person]:
        """Everybody, decrypted."""

        async def persons() -> dict[str, Person]:
            database = Database(self.database_url, 1)
            try:
                async with database.transaction() as transaction:
                    psn_nos = await transaction.raw.fetch("SELECT psn_no FROM insured")
                    repository = PostgresRepository(transaction, vault())
                    return dict(await repository.lock_persons([row["psn_no"] for row in psn_nos]))
            finally:
                await database.close()

        return run_blocking(persons)

    def events(self) -> dict[str, set[tuple[object, ...]]]:
        """What was told of each person, but for the moments."""
        told: dict[str, set[tuple[object, ...]]] = {}
        for row in self.fetch("SELECT key, type, sequence, payload FROM outbox_event JOIN outbox_unsent USING (id)"):
            message = events_pb2.EnrolmentChanged.FromString(row["payload"])
            fact = (row["type"], row["sequence"], message.sequence, message.enrolment.SerializeToString())
            assert fact not in told.setdefault(row["key"], set())
            told[row["key"]].add(fact)
        return told

    def everything(self) -> tuple[Any, ...]:
        refused = self.fetch("SELECT row_number, description FROM insured_import_refused ORDER BY row_number")
        batch = self.fetch(COUNTS)
        return self.persons(), self.events(), [tuple(row) for row in refused], [tuple(row) for row in batch]


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said


NewOffice = Callable[[], Office]


@pytest.fixture
def new_office(service_database: Callable[[str], str], tmp_path: Path) -> Iterator[NewOffice]:
    offices: list[Office] = []

    def new() -> Office:
        folder = tmp_path / str(len(offices))
        folder.mkdir()
        offices.append(Office(service_database("identity"), folder))
        return offices[-1]

    yield new
    for process in [one for office in offices for one in office.started if one.poll() is None]:
        process.kill()
        process.wait()


@pytest.fixture
def office(new_office: NewOffice) -> Office:
    return new_office()


def test_an_import_that_is_killed_half_way_and_run_again_ends_as_an_undisturbed_one(new_office: NewOffice) -> None:
    undisturbed, killed = new_office(), new_office()
    assert undisturbed.run(undisturbed.file(lines()), "--batch", "b1")[0] == 3
    file, options = killed.file(lines()), ("--batch", "b1", "--chunk-rows", "20")
    for row in (100, 400):  # early enough for the import not to end before it is killed
        process = killed.start(file, *options)
        killed.wait_for_row(row, process)
        process.send_signal(signal.SIGKILL)
        assert finished(process)[0] == -signal.SIGKILL
        assert row < killed.fetch(COUNTS)[0]["next_row"] <= ROWS
    assert killed.run(file, *options)[0] == 3
    assert killed.everything() == undisturbed.everything()
    assert len(killed.persons()) > ROWS / 2


def test_ctrl_c_ends_after_the_chunk_and_says_how_to_go_on(office: Office) -> None:
    file = office.file(lines())
    process = office.start(file, "--chunk-rows", "20")
    office.wait_for_row(20, process)
    process.send_signal(signal.SIGINT)
    status, said = finished(process)
    stopped_at = office.fetch(COUNTS)[0]["next_row"]
    assert status == 130
    said = " ".join(said.split())
    assert f"stopped. To go on with row {stopped_at}: identity import" in said
    assert "Traceback" not in said
    assert office.run(file)[0] == 3
    assert [tuple(row) for row in office.fetch("SELECT next_row, complete FROM insured_import")] == [(ROWS + 1, True)]


@pytest.mark.parametrize("batches", [("b1", "b1"), ("b1", "b2")], ids=["of one batch", "of two batches"])
def test_two_imports_at_once_take_and_tell_everything_once(office: Office, batches: tuple[str, str]) -> None:
    file = office.file([line(number) for number in range(1, 601)])
    processes = [office.start(file, "--batch", batch, "--chunk-rows", "50") for batch in batches]
    assert [finished(process)[0] for process in processes] == [0, 0]
    counted = office.fetch("SELECT sum(changed_count) AS changed, bool_and(complete) AS complete FROM insured_import")
    assert tuple(counted[0]) == (600, True)
    assert {len(told) for told in office.events().values()} == {1}
    assert len(office.events()) == 600


def test_the_same_file_again_has_nothing_left_to_do_and_under_another_batch_changes_nothing(office: Office) -> None:
    file = office.file([line(1), line(2)])
    assert office.run(file)[0] == 0
    status, said = office.run(file)
    assert (status, "nothing is left to do" in " ".join(said.split())) == (0, True)
    assert "changed 0, unchanged 2, refused 0" in office.run(file, "--batch", "again")[1]
    assert len(office.fetch("SELECT FROM outbox_event")) == 2


def test_a_file_that_changed_under_its_batch_is_refused_and_takes_nothing(office: Office) -> None:
    office.run(office.file([line(1)]), "--batch", "b1")
    status, said = office.run(office.file([line(1), line(2)]), "--batch", "b1")
    assert (status, "began with another file" in " ".join(said.split())) == (1, True)
    assert list(office.persons()) == ["P1"]


def test_a_thousand_refused_rows_are_all_in_the_report_and_no_personal_data_is(office: Office) -> None:
    bad = [line(number, brdy="1985-02-30") for number in range(1, 1001)]
    good = [line(number) for number in range(2001, 2101)]
    report = office.folder / "refused.csv"
    status, said = office.run(office.file([*good[:50], *bad, *good[50:]]), "--refused", str(report))
    assert status == 3
    assert "changed 100, unchanged 0, refused 1000" in said
    assert "and 980 more" in said
    with report.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["line", "row", "reason"], ["52", "51", "brdy is not a day of the calendar (YYYY-MM-DD)"]]
    assert [int(row[1]) for row in rows[1:]] == list(range(51, 1051))
    for secret in (NAME, TEL, CARD_SN, identity_number()[:6], "1985-02-30", "P51"):
        assert secret not in said + report.read_text(encoding="utf-8")


def test_a_file_in_another_encoding_is_told_before_anything_is_taken(office: Office) -> None:
    file = office.file([line(1)], encoding="gb18030")
    status, said = office.run(file)
    assert (status, "say --encoding gb18030" in " ".join(said.split())) == (1, True)
    assert office.fetch(COUNTS) == []
    assert office.run(file, "--encoding", "gb18030")[0] == 0
    assert office.persons()["P1"].name == NAME


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--batch", "a b"), "letters"),
        (("--encoding", "latin-1"), "latin-1"),
        (("--chunk-rows", "0"), "chunk-rows"),
        (("--refused", "REGISTER"), "overwrite"),
    ],
)
def test_wrong_options_are_refused_with_status_2(office: Office, options: tuple[str, str], why: str) -> None:
    file = office.file([line(1)])
    status, said = office.run(file, options[0], options[1].replace("REGISTER", str(file)))
    assert (status, why in said) == (2, True)

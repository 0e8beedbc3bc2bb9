"""What the README says of reasons is what the contract says."""

import re
from pathlib import Path

import pytest

import kit
import settlement
from gongji.common.v1 import reason_pb2
from kit.errors import table
from settlement.domain.accounts import AccountRefusalError
from settlement.domain.reasons import Reason
from settlement.reason_table import PROTO, README, TableError, explanations, markdown, with_table


def test_the_readme_has_the_table_of_the_contract() -> None:
    readme, proto = README.read_text(encoding="utf-8"), PROTO.read_text(encoding="utf-8")
    assert readme == with_table(readme, markdown(proto)), "run `python -m settlement.reason_table`"


def test_every_reason_of_the_contract_is_explained() -> None:
    names = {value.name.removeprefix("REASON_") for value in reason_pb2.Reason.DESCRIPTOR.values}
    assert set(explanations(PROTO.read_text(encoding="utf-8"))) == names


def test_every_reason_that_settlement_gives_is_in_the_table() -> None:
    given = {str(reason) for reason in Reason} | {kind.reason for kind in AccountRefusalError.__subclasses__()}
    told = markdown(PROTO.read_text(encoding="utf-8"))
    assert {name for name in given if f"| `{name}` |" not in told} == set()
    assert given <= set(table())


def test_every_reason_that_the_code_names_is_in_the_table() -> None:
    """Also those of the kit, which any call may end with."""
    sources = [file for package in (kit, settlement) for file in Path(package.__path__[0]).rglob("*.py")]
    named = {
        name
        for file in sources
        for name in re.findall(r'(?:Refusal\(\s*|reason = )"([A-Z_]+)"', file.read_text(encoding="utf-8"))
    }
    told = markdown(PROTO.read_text(encoding="utf-8"))
    assert {"INSTITUTION_SUSPENDED", "OVERLOADED", "UNAUTHENTICATED"} <= named
    assert {name for name in named if f"| `{name}` |" not in told} == set()


def test_a_row_says_code_meaning_and_whether_to_send_again() -> None:
    rows = markdown(PROTO.read_text(encoding="utf-8")).splitlines()
    spent = "nothing was taken, the id is spent, preview again."
    assert (
        f"| `AMOUNT_CHANGED` | The split differs from the expected one: {spent} | `FAILED_PRECONDITION` "
        "| again, **new** msgid |"
    ) in rows
    assert any(row.startswith("| `IN_PROGRESS` |") and "`ABORTED` | again, **same** msgid" in row for row in rows)


def test_that_there_is_nothing_under_an_id_is_no_word_against_sending_the_bill_itself() -> None:
    rows = markdown(PROTO.read_text(encoding="utf-8")).splitlines()
    (row,) = [row for row in rows if row.startswith("| `NOT_FOUND` |")]
    assert row.endswith("| **never** |")
    assert "said of that question: a bill that may still be on its way is itself sent again under its own msgid" in row


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(TableError):
        with_table("# settlement\n", "| a |")

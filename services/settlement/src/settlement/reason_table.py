"""Writes the table of reasons into the README: what an integrator does after each, as the contract states it.

`python -m settlement.reason_table` rewrites the part of `services/settlement/README.md` between its two markers from
`protos/gongji/common/v1/reason.proto`; a test fails while the two differ. The comments are the explanations, the
options are the rows: there is nothing here to keep in step by hand.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import typer
from google.rpc import code_pb2

from gongji.common.v1 import reason_pb2
from kit.errors import TableRow, table

_REPOSITORY: Final = Path(__file__).resolve().parents[4]
PROTO: Final = _REPOSITORY / "protos" / "gongji" / "common" / "v1" / "reason.proto"
README: Final = _REPOSITORY / "services" / "settlement" / "README.md"

BEGIN: Final = "<!-- reasons: written by `python -m settlement.reason_table` -->"
END: Final = "<!-- end of reasons -->"

_VALUE: Final = re.compile(r"((?:^ *//[^\n]*\n)+) *REASON_([A-Z_]+) =", re.MULTILINE)
_LAST_SHARED_NUMBER: Final = 79
_BEYOND_SHARED: Final = frozenset({"PAYER_NOT_ELIGIBLE", "STATE_FORBIDS", "DAY_NOT_OVER", "INSTITUTION_SUSPENDED"})
_AGAIN: Final[Mapping[str, str]] = {
    "SAME_ID": "again, **same** msgid",
    "NEW_ID": "again, **new** msgid",
    "NEVER": "**never**",
}


class TableError(Exception):
    """The contract and the README do not fit what is looked for in them."""


def explanations(proto: str) -> dict[str, str]:
    """What each reason means, by its name without `REASON_`, from the comments above the values."""
    return {name: _text(comment) for comment, name in _VALUE.findall(proto)}


def _text(comment: str) -> str:
    return " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines()).replace("|", "\\|")


def markdown(proto: str) -> str:
    """The table of the reasons that a caller of settlement may meet, in the vocabulary's order."""
    return "\n".join(_lines(explanations(proto)))


def _lines(meaning: Mapping[str, str]) -> Iterator[str]:
    yield "| reason | means | gRPC code | send again? |"
    yield "| --- | --- | --- | --- |"
    for value in reason_pb2.Reason.DESCRIPTOR.values:
        name = value.name.removeprefix("REASON_")
        if value.number and (value.number <= _LAST_SHARED_NUMBER or name in _BEYOND_SHARED):
            yield _line(table()[name], meaning[name])


def _line(row: TableRow, meaning: str) -> str:
    return f"| `{row.reason}` | {meaning} | `{code_pb2.Code.Name(row.code)}` | {_AGAIN[row.retry]} |"


def with_table(readme: str, reasons: str) -> str:
    """The README with this table between its markers.

    Raises:
        TableError: a marker is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise TableError(f"the README needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{reasons}\n\n{END}{after}"


def write() -> None:
    """Bring the README up to date."""
    readme, proto = README.read_text(encoding="utf-8"), PROTO.read_text(encoding="utf-8")
    README.write_text(with_table(readme, markdown(proto)), encoding="utf-8")
    typer.echo(f"wrote the table of reasons into {README.relative_to(_REPOSITORY)}")


if __name__ == "__main__":
    write()

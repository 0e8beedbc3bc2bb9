"""The register that is measured is one that an import takes whole."""

from pathlib import Path

from bench.registers import row, rows, write

from identity.domain.register import RegisterRow, checked
from identity.importing.csv_file import examine, read
from identity.testing import TODAY

COUNT = 40_000
"""More than there are birthdays, so that they come round."""


def test_every_row_is_taken_and_nobody_shares_a_number_a_telephone_or_a_card(tmp_path: Path) -> None:
    file = write(tmp_path / "register.csv", rows(COUNT))
    assert examine(file, "utf-8").row_count == COUNT
    people = [one for one in (checked(one, TODAY) for one in read(file, "utf-8")) if isinstance(one, RegisterRow)]
    assert len(people) == COUNT
    assert len({one.certificate.number for one in people}) == COUNT
    assert len({one.tel for one in people}) == COUNT
    assert len({one.card_sn for one in people}) == COUNT


def test_of_so_many_people_one_is_changed() -> None:
    changed = [place for place, one in enumerate(rows(300, changed_every=100), 1) if one != row(place)]
    assert changed == [100, 200, 300]

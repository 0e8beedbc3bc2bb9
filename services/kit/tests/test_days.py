from datetime import date

import pytest

from kit.days import stated_day
from kit.errors import InvalidFields


def test_a_day_of_the_calendar_is_taken() -> None:
    assert stated_day("2024-02-29", "valid_from") == date(2024, 2, 29)


@pytest.mark.parametrize("text", ["", "2025-02-29", "2025-13-01", "2025-06-31", "0000-01-01", "soon", "2025-6-1"])
def test_what_no_calendar_has_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        stated_day(text, "enrolment.valid_from")
    assert [violation.field for violation in refused.value.violations] == ["enrolment.valid_from"]

"""GB 11643-1999, against the standard's own weights and examples."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.identity_number import birth_date, check_character
from identity.domain.refusals import CertificateInvalid

TODAY = date(2025, 6, 10)
# The standard's table form of the same arithmetic: weights 2^i mod 11, and the character by the weighted sum mod 11.
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
BY_REMAINDER = "10X98765432"

regions = st.sampled_from(["110105", "652701", "652723", "310104", "830000"])
dates = st.dates(min_value=date(1900, 1, 1), max_value=TODAY)


def by_the_table(body: str) -> str:
    return BY_REMAINDER[sum(weight * int(digit) for weight, digit in zip(WEIGHTS, body, strict=True)) % 11]


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, date]:
    born = draw(dates)
    body = f"{draw(regions)}{born:%Y%m%d}{draw(st.integers(0, 999)):03d}"
    return body + by_the_table(body), born


@given(st.text("0123456789", min_size=17, max_size=17))
def test_the_check_character_is_that_of_the_standards_table(body: str) -> None:
    assert check_character(body) == by_the_table(body)


@pytest.mark.parametrize(
    ("number", "born"),
    [("11010519491231002X", date(1949, 12, 31)), ("440524188001010014", date(1880, 1, 1))],
)
def test_the_examples_of_the_standard_are_taken(number: str, born: date) -> None:
    assert birth_date(number, TODAY) == born


@given(numbers())
def test_a_right_number_carries_its_birth_date(number: tuple[str, date]) -> None:
    assert birth_date(number[0], TODAY) == number[1]


@given(numbers(), st.integers(0, 17), st.sampled_from("0123456789X"))
def test_any_one_wrong_character_is_noticed(number: tuple[str, date], place: int, wrong: str) -> None:
    right = number[0]
    changed = right[:place] + wrong + right[place + 1 :]
    if changed != right:
        with pytest.raises(CertificateInvalid):
            birth_date(changed, TODAY)


@given(numbers(), st.integers(0, 16))
def test_two_neighbours_exchanged_are_noticed(number: tuple[str, date], place: int) -> None:
    right = number[0]
    changed = right[:place] + right[place + 1] + right[place] + right[place + 2 :]
    if changed != right:
        with pytest.raises(CertificateInvalid):
            birth_date(changed, TODAY)


def completed(body: str) -> str:
    return body + by_the_table(body)


@pytest.mark.parametrize("digits", ["20240229", "20000229", "20250610"])
def test_days_that_exist_are_taken(digits: str) -> None:
    assert f"{birth_date(completed(f'652701{digits}001'), TODAY):%Y%m%d}" == digits


@pytest.mark.parametrize(
    "digits", ["20230229", "19000229", "20250431", "20251301", "20250600", "20250611", "18491231", "00000101"]
)
def test_days_that_cannot_be_a_birth_date_are_refused(digits: str) -> None:
    with pytest.raises(CertificateInvalid, match="birth date"):
        birth_date(completed(f"652701{digits}001"), TODAY)


@pytest.mark.parametrize("province", ["00", "10", "16", "24", "38", "47", "55", "66", "72", "84", "99"])
def test_regions_that_do_not_exist_are_refused(province: str) -> None:
    with pytest.raises(CertificateInvalid, match="region"):
        birth_date(completed(f"{province}270119850302001"), TODAY)


@pytest.mark.parametrize(
    "number",
    [
        "",
        "110105491231002",
        "11010519491231002",
        "11010519491231002x",
        "11010519491231002XX",
        "1101051949123100２X",
        "1101051949-231002X",
        "X1010519491231002X",
    ],
)
def test_other_forms_are_refused(number: str) -> None:
    with pytest.raises(CertificateInvalid, match="17 digits"):
        birth_date(number, TODAY)


def test_a_refusal_does_not_repeat_the_number() -> None:
    with pytest.raises(CertificateInvalid) as refused:
        birth_date("110105194912310021", TODAY)
    assert "1949" not in str(refused.value)
    assert refused.value.reason == "CERTIFICATE_INVALID"

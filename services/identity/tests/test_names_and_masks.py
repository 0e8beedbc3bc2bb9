import pytest

from identity.domain.certificate import (
    Certificate,
    CertificateType,
    comparable_name,
    is_name,
    masked_name,
    masked_number,
    written_name,
)
from identity.testing import person


@pytest.mark.parametrize(
    "spelling",
    ["买买提·艾力", "买买提•艾力", "买买提．艾力", "买买提・艾力", "买买提 · 艾力", " 买买提·艾力　", "买买提‧艾力"],
)
def test_a_name_is_the_same_however_its_dot_and_spaces_are_typed(spelling: str) -> None:
    assert comparable_name(spelling) == comparable_name("买买提·艾力")


def test_letter_case_and_width_do_not_matter() -> None:
    assert comparable_name("Ｊｏｈｎ SMITH") == comparable_name("john smith")


@pytest.mark.parametrize("other", ["买买提艾力", "买买提·艾利", "买买提·艾力·", "买买·提艾力"])
def test_another_name_is_another(other: str) -> None:
    assert comparable_name(other) != comparable_name("买买提·艾力")


def test_a_name_is_kept_in_one_form_without_space_around_it() -> None:
    assert written_name("  José ") == "José"


@pytest.mark.parametrize("name", ["张三", "Ж", "O'Brien"])
def test_readable_texts_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "  ", "123", "张\n三", "张\u200b三", "张\x00", "·"])
def test_what_nobody_can_read_is_no_name(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ("name", "shown"), [("张三", "张*"), ("欧阳娜娜", "欧***"), ("张", "*"), ("买买提·艾力", "买*****")]
)
def test_a_masked_name_shows_its_first_character(name: str, shown: str) -> None:
    assert masked_name(name) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("652701198503020011", "6527**********0011"),
        ("G12345678", "G1*****78"),
        ("A123", "A**3"),
        ("1234567", "1*****7"),
    ],
)
def test_a_masked_number_shows_its_ends(number: str, shown: str) -> None:
    assert masked_number(number) == shown


def test_what_identifies_a_person_is_not_printed_with_the_object() -> None:
    someone = person()
    printed = repr(someone) + repr(Certificate(CertificateType.PASSPORT, "G12345678"))
    for secret in (someone.name, someone.certificates[0].number, someone.tel, someone.card_sn, "G12345678", "1985"):
        assert secret not in printed

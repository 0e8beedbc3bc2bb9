"""What the client makes up: identity numbers, persons, institutions, msgids, bills and proof files."""

import re
import struct
import zlib
from datetime import UTC, date, datetime

import pytest

from gongji.identity.v1 import person_pb2 as person
from gongji_local.client.hospital import bill, msgid
from gongji_local.client.persons import born_between, identity_number, institution, insured
from gongji_local.client.proofs import pdf, png
from kit.validation import check


@pytest.mark.parametrize(
    "published",
    # Worked examples of the standard and of its handbooks, one with an X.
    ["11010519491231002X", "440524188001010014"],
)
def test_identity_numbers_end_with_the_check_character_of_the_standard(published: str) -> None:
    born = datetime.strptime(published[6:14], "%Y%m%d").replace(tzinfo=UTC).date()
    assert identity_number(published[:6], born, int(published[14:17])) == published


def test_a_made_up_person_fits_the_contract() -> None:
    row = insured("张伟", date(1985, 3, 2), person.INSURANCE_TYPE_EMPLOYEE).row()
    request = person.ImportInsuredRequest(batch_id="b1", rows=[row])
    check(request)
    assert row.certificate.certno[6:14] == "19850302"


def test_nobody_is_made_up_twice() -> None:
    people = [insured("王芳", date(1985, 3, 2), person.INSURANCE_TYPE_RESIDENT) for _ in range(2_000)]
    assert len({one.psn_no for one in people}) == len({one.certno for one in people}) == 2_000


def test_no_institution_is_made_up_twice() -> None:
    assert len({institution("博乐市人民医院").fixmedins_code for _ in range(2_000)}) == 2_000


def test_a_person_is_not_insured_before_being_born() -> None:
    baby = insured("李安", date(2024, 11, 20), person.INSURANCE_TYPE_RESIDENT)
    assert baby.enrolment().valid_from == "2024-11-20"


def test_a_made_up_person_shows_no_name_and_no_number_when_printed() -> None:
    one = insured("欧阳明", date(1985, 3, 2), person.INSURANCE_TYPE_EMPLOYEE)
    assert one.certno not in repr(one)
    assert "欧阳明" not in repr(one)


def test_birthdays_reach_from_the_first_day_to_the_last() -> None:
    first, last = date(2015, 1, 1), date(2015, 1, 2)
    assert {born_between(first, last) for _ in range(100)} == {first, last}


def test_institutions_have_a_capital_and_eleven_digits() -> None:
    assert re.fullmatch(r"H6527\d{7}", institution("博乐市人民医院").fixmedins_code)


def test_a_msgid_is_the_institution_the_shanghai_time_and_a_number_that_rises() -> None:
    at = datetime(2025, 6, 10, 16, 30, 15, tzinfo=UTC)
    first, second = msgid("H65270100001", at), msgid("H65270100001", at)
    assert first[:26] == "H65270100001" + "20250611003015"
    assert len(first) == 30
    assert int(second[26:]) == (int(first[26:]) + 1) % 10_000


def test_what_is_left_to_the_person_is_the_rest_of_the_bill() -> None:
    made = bill("1", medfee_sumamt=18_000, fund_pay_sumamt=9_000, hosp_part_amt=500)
    assert made.psn_part_amt == 8_500


def test_a_bill_that_does_not_add_up_can_be_made_on_purpose() -> None:
    assert bill("1", medfee_sumamt=100, psn_part_amt=0).psn_part_amt == 0


def test_each_bill_is_a_visit_of_its_own() -> None:
    assert bill("1", medfee_sumamt=100).mdtrt_id != bill("1", medfee_sumamt=100).mdtrt_id


def test_the_pdf_has_its_cross_references_where_it_says() -> None:
    content = pdf("Household (register)")
    table = int(re.findall(rb"startxref\n(\d+)\n%%EOF\n$", content)[0])
    assert content.startswith(b"%PDF-1.4")
    assert content[table:].startswith(b"xref\n0 6\n")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", content), start=1):
        assert content[int(offset) :].startswith(b"%d 0 obj\n" % number)


def test_the_png_is_a_square_of_its_colour() -> None:
    content = png(1, 2, 3, side_pixels=2)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    assert zlib.decompress(content[start + 4 : start + 4 + length]) == b"\x00\x01\x02\x03\x01\x02\x03" * 2
    assert struct.unpack(">I", content[-4:])[0] == zlib.crc32(b"IEND")

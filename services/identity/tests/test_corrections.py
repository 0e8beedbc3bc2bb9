"""Corrections of persons and certificates that come later, as rules."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.certificate import Certificate, CertificateType, birth_date_in
from identity.domain.correction import Correction, CorrectionImpossible, add_certificate, changed_fields, correct
from identity.domain.person import Registration
from identity.domain.refusals import CertificateInvalid, CertificateTaken
from identity.testing import ADULT, CHILD, NOW, TODAY, identity_card, identity_number, person

BIRTH_CERTIFICATE = Certificate(CertificateType.BIRTH_CERTIFICATE, "Q650012345")
REGISTERED = Registration(NOW, "P1")


def newborn(**changed: Any) -> Any:
    return person("P2", CHILD, certificates=(BIRTH_CERTIFICATE,), **changed)


def refused(field: str, before: Any, correction: Correction) -> None:
    with pytest.raises(CorrectionImpossible) as impossible:
        correct(before, correction, None, TODAY)
    assert impossible.value.field_name == field


class TestCorrecting:
    def test_what_is_not_named_stays(self) -> None:
        before = person()
        after = correct(before, Correction(name=" 张三 ", tel=""), None, TODAY)
        assert after == replace(before, name="张三", tel="")
        assert changed_fields(before, after) == ("psn_name", "tel")

    def test_what_is_known_already_changes_nothing(self) -> None:
        before = person()
        same = Correction(before.name, before.brdy, before.tel, before.card_sn, before.certificates[0])
        assert correct(before, same, "P1", TODAY) is before
        assert correct(before, Correction(), None, TODAY) is before

    @pytest.mark.parametrize("name", ["", " ", "123", "张\u202e三"])
    def test_what_is_no_name_is_refused(self, name: str) -> None:
        refused("psn_name", person(), Correction(name=name))

    def test_a_birth_date_that_the_identity_number_does_not_carry_is_refused(self) -> None:
        refused("brdy", person(), Correction(brdy=ADULT + timedelta(days=1)))

    def test_the_right_number_comes_with_its_birth_date(self) -> None:
        right = identity_card(date(1985, 3, 3))
        refused("brdy", person(), Correction(certificate=right))
        after = correct(person(), Correction(certificate=right, brdy=date(1985, 3, 3)), None, TODAY)
        assert (after.certificates, after.brdy) == ((right,), date(1985, 3, 3))

    @pytest.mark.parametrize("brdy", [TODAY + timedelta(days=1), date(1849, 12, 31)])
    def test_a_birth_date_that_cannot_be_is_refused(self, brdy: date) -> None:
        refused("brdy", newborn(), Correction(brdy=brdy))

    def test_nobody_is_born_after_their_death(self) -> None:
        refused("brdy", newborn(died_on=TODAY - timedelta(days=1)), Correction(brdy=TODAY))
        assert correct(newborn(died_on=TODAY), Correction(brdy=TODAY), None, TODAY).brdy == TODAY

    def test_a_number_of_somebody_else_is_refused(self) -> None:
        with pytest.raises(CertificateTaken):
            correct(person(), Correction(certificate=identity_card(ADULT, 2)), "P9", TODAY)

    def test_a_number_that_is_wrong_in_itself_is_refused(self) -> None:
        wrong = Certificate(CertificateType.IDENTITY_CARD, identity_number()[:-2] + "00")
        with pytest.raises(CertificateInvalid):
            correct(person(), Correction(certificate=wrong), None, TODAY)

    def test_a_certificate_of_a_type_that_is_not_on_record_is_added_and_not_corrected(self) -> None:
        refused("certificate", person(), Correction(certificate=BIRTH_CERTIFICATE))

    def test_only_a_birth_date_that_was_published_is_told_again(self) -> None:
        moved = Correction(brdy=CHILD + timedelta(days=1))
        assert correct(newborn(), moved, None, TODAY).version == newborn().version
        known = newborn(registration=REGISTERED, version=4)
        assert correct(known, moved, None, TODAY).version == 5
        assert correct(known, Correction(name="李四", tel="", card_sn=""), None, TODAY).version == 4


class TestAdding:
    def test_a_newborn_gets_an_identity_number_and_stays_one_person(self) -> None:
        before = newborn(registration=REGISTERED)
        after = add_certificate(before, identity_card(CHILD, 7), None, TODAY)
        assert after == replace(before, certificates=(identity_card(CHILD, 7), BIRTH_CERTIFICATE))
        assert add_certificate(after, identity_card(CHILD, 7), "P2", TODAY) is after

    def test_a_number_of_somebody_else_is_refused(self) -> None:
        with pytest.raises(CertificateTaken):
            add_certificate(newborn(), identity_card(CHILD, 7), "P9", TODAY)

    def test_another_number_of_a_type_on_record_is_refused(self) -> None:
        with pytest.raises(CorrectionImpossible):
            add_certificate(newborn(), replace(BIRTH_CERTIFICATE, number="Q650099999"), None, TODAY)

    def test_a_number_that_carries_another_birth_date_is_refused(self) -> None:
        with pytest.raises(CorrectionImpossible):
            add_certificate(newborn(), identity_card(CHILD + timedelta(days=1), 7), None, TODAY)


@given(
    born=st.dates(date(1900, 1, 1), TODAY + timedelta(days=400)),
    number_born=st.none() | st.dates(date(1900, 1, 1), TODAY),
    died_on=st.none() | st.dates(CHILD, TODAY),
)
def test_whatever_is_corrected_the_record_does_not_contradict_itself(
    born: date, number_born: date | None, died_on: date | None
) -> None:
    before = person("P2", CHILD, died_on=died_on, registration=REGISTERED)
    certificate = identity_card(number_born, 3) if number_born else None
    try:
        after = correct(before, Correction(brdy=born, certificate=certificate), None, TODAY)
    except CorrectionImpossible:
        assert born != (number_born or CHILD) or born > (died_on or TODAY)
    else:
        assert {birth_date_in(one, TODAY) for one in after.certificates} == {after.brdy}
        assert after.brdy == born <= (died_on or TODAY)
        assert after.version - before.version == (born != CHILD)

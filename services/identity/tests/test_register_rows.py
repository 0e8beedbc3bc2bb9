from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.person import Person, Registration
from identity.domain.register import Intake, RegisterRow, RowRefused, birth_date, take_in
from identity.testing import ADULT, NOW, TODAY, enrolment, identity_card, identity_number, person, register_row

BIRTH = Certificate(CertificateType.BIRTH_CERTIFICATE, "U650000001")


def take(*rows: RegisterRow | RowRefused, known: tuple[Person, ...] = ()) -> Intake:
    owners = {certificate: one.psn_no for one in known for certificate in one.certificates}
    return take_in(rows, {one.psn_no: one for one in known}, owners, TODAY)


def test_a_new_person_is_taken_with_one_event() -> None:
    intake = take(register_row())
    assert intake.persons == {"P1": person()}
    assert [one.version for one in intake.enrolled] == [1]
    assert (intake.changed_count, intake.unchanged_count, intake.refused) == (1, 0, {})


def test_the_same_row_again_is_unchanged_and_tells_nothing() -> None:
    intake = take(register_row(), register_row(), known=(person(),))
    assert (intake.persons, intake.enrolled, intake.changed_count, intake.unchanged_count) == ({}, [], 0, 2)


@pytest.mark.parametrize("changed", [{"tel": ""}, {"name": "李四"}, {"card_sn": "Z9"}])
def test_what_no_event_speaks_of_changes_without_one(changed: dict[str, Any]) -> None:
    intake = take(register_row(**changed), known=(person(),))
    assert (intake.changed_count, intake.enrolled) == (1, [])
    assert intake.persons == {"P1": person(**changed)}


def test_each_change_of_enrolment_is_told_with_the_next_number() -> None:
    suspended = enrolment(date(2025, 2, 1), psn_insu_stas=InsuranceStatus.SUSPENDED)
    intake = take(
        register_row(),
        register_row(enrolment=suspended),
        register_row(enrolment=suspended),
        register_row(enrolment=enrolment(date(2025, 3, 1))),
    )
    assert [(one.version, one.enrolments[-1].psn_insu_stas) for one in intake.enrolled] == [
        (1, InsuranceStatus.NORMAL),
        (2, InsuranceStatus.SUSPENDED),
        (3, InsuranceStatus.NORMAL),
    ]
    assert (intake.changed_count, intake.unchanged_count) == (3, 1)


def test_a_newborn_gets_an_identity_number_beside_the_birth_certificate() -> None:
    born = date(2024, 11, 20)
    newborn = register_row(brdy=born, certificate=BIRTH)
    intake = take(newborn, register_row(brdy=born))
    assert intake.persons["P1"].certificates == (identity_card(born), BIRTH)


def test_a_new_number_replaces_the_old_one_of_its_type_and_frees_it() -> None:
    renumbered = register_row(certificate=identity_card(ADULT, 7))
    other = register_row("P2", certificate=identity_card(ADULT, 1))
    intake = take(renumbered, other, known=(person(),))
    assert intake.persons["P1"].certificates == (identity_card(ADULT, 7),)
    assert intake.persons["P2"].certificates == (identity_card(ADULT, 1),)


REFUSED = {
    "certificate of another": (register_row("P9"), "another psn_no"),
    "check character": (
        register_row(certificate=Certificate(CertificateType.IDENTITY_CARD, identity_number()[:-1] + "?")),
        "check character",
    ),
    "birth date of another": (register_row(brdy=date(1985, 3, 3), certificate=identity_card(ADULT)), "brdy is not"),
    "not born yet": (register_row("P9", brdy=date(2025, 6, 11), certificate=BIRTH), "cannot be a birth date"),
    "born too long ago": (register_row("P9", brdy=date(1849, 12, 31), certificate=BIRTH), "cannot be a birth date"),
    "ends before it begins": (
        register_row(enrolment=enrolment(date(2025, 2, 1), date(2025, 1, 31))),
        "before valid_from",
    ),
    "blank name": (register_row(name=" "), "psn_name"),
    "unreadable": (RowRefused("brdy is not a day"), "not a day"),
    "contradicts the card on record": (
        register_row(brdy=date(1985, 3, 3), certificate=BIRTH),
        "identity number on record",
    ),
}


@pytest.mark.parametrize(("row", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_row_is_refused_alone_and_without_personal_data(row: RegisterRow | RowRefused, why: str) -> None:
    good = register_row("P2", sequence=2)
    intake = take(good, row, good, known=(person(),))
    assert list(intake.refused) == [1]
    assert why in intake.refused[1]
    assert list(intake.persons) == ["P2"]
    assert (intake.changed_count, intake.unchanged_count) == (1, 1)
    assert not any(secret in intake.refused[1] for secret in ("P9", "1985", "买买提", identity_number()))


@pytest.mark.parametrize("kind", [one for one in CertificateType if one is not CertificateType.IDENTITY_CARD])
def test_only_an_identity_number_says_when_somebody_was_born(kind: CertificateType) -> None:
    assert birth_date(None, identity_card(ADULT)) == ADULT
    assert birth_date(TODAY, identity_card(ADULT)) == TODAY  # and the row is refused for it
    assert birth_date(TODAY, Certificate(kind, "U650000001")) == TODAY
    with pytest.raises(RowRefused, match="brdy is required"):
        birth_date(None, Certificate(kind, identity_number(ADULT)))


def test_the_birth_date_of_a_registered_person_stays() -> None:
    born = date(2024, 11, 20)
    row = register_row(brdy=date(2024, 11, 21), certificate=BIRTH)
    unregistered = person(brdy=born, certificates=(BIRTH,))
    assert take(row, known=(unregistered,)).persons["P1"].brdy == date(2024, 11, 21)
    registered = replace(unregistered, registration=Registration(NOW, "P2"))
    assert "registered" in take(row, known=(registered,)).refused[0]


def test_who_was_born_today_is_taken() -> None:
    assert take(register_row(brdy=TODAY, certificate=BIRTH)).changed_count == 1


def test_nobody_is_born_after_their_death() -> None:
    dead = person(brdy=date(2024, 11, 20), certificates=(BIRTH,), died_on=date(2024, 11, 20))
    assert "death" in take(register_row(brdy=date(2024, 11, 21), certificate=BIRTH), known=(dead,)).refused[0]


rows = st.builds(
    lambda psn, sequence, status, tel: register_row(
        f"P{psn}",
        certificate=identity_card(ADULT, sequence),
        enrolment=enrolment(psn_insu_stas=status),
        tel=tel,
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([InsuranceStatus.NORMAL, InsuranceStatus.ENDED]),
    st.sampled_from(["", "12345"]),
)


@given(st.lists(rows, max_size=12))
def test_rows_together_come_to_the_same_as_one_by_one(stream: list[RegisterRow]) -> None:
    together = take(*stream)
    persons: dict[str, Person] = {}
    refused, changed = 0, 0
    for row in stream:
        alone = take(row, known=tuple(persons.values()))
        persons.update(alone.persons)
        refused += len(alone.refused)
        changed += alone.changed_count
    assert together.persons == persons
    assert (together.changed_count, len(together.refused)) == (changed, refused)
    assert together.changed_count + together.unchanged_count + len(together.refused) == len(stream)


@given(st.lists(rows, max_size=12))
def test_the_events_of_a_person_are_numbered_without_a_gap(stream: list[RegisterRow]) -> None:
    intake = take(*stream)
    for psn_no, one in intake.persons.items():
        told = [told.version for told in intake.enrolled if told.psn_no == psn_no]
        assert told == list(range(1, one.version + 1))


@given(st.lists(rows, max_size=12))
def test_no_certificate_ever_has_two_holders(stream: list[RegisterRow]) -> None:
    held = [certificate for one in take(*stream).persons.values() for certificate in one.certificates]
    assert len(held) == len(set(held))

"""One-time codes, by the rules alone."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.person import Registration
from identity.domain.verification import (
    LIFETIME,
    MOST_TRIES,
    CodeWrong,
    Purpose,
    Verification,
    VerificationInvalid,
    masked_tel,
    needs_code,
    new_code,
    use,
)
from identity.testing import CHILD, NOW, TODAY, person

RIGHT, WRONG = b"right", b"wrong"
SENT = Verification(UUID(int=1), "P1", Purpose.REGISTRATION, "portal new:1", RIGHT, NOW + LIFETIME)


def used(verification: Verification | None, code_index: bytes = RIGHT, now: datetime = NOW, **by: Any) -> Verification:
    usual = {"purpose": Purpose.REGISTRATION, "psn_no": "P1", "caller": "portal new:1"}
    return use(verification, code_index, now, **{**usual, **by})


def test_the_right_code_uses_it_up() -> None:
    after = used(SENT)
    assert after == replace(SENT, used_at=NOW)
    with pytest.raises(VerificationInvalid):
        used(after)


def test_a_wrong_code_costs_a_try_and_tells_how_many_are_left() -> None:
    with pytest.raises(CodeWrong) as wrong:
        used(SENT, WRONG)
    assert wrong.value.after == replace(SENT, wrong_tries=1)
    assert wrong.value.metadata == {"tries_left": "4"}


def test_after_the_last_wrong_try_the_right_code_is_too_late() -> None:
    verification = SENT
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(CodeWrong) as wrong:
            used(verification, WRONG)
        assert wrong.value.metadata == {"tries_left": str(left)}
        verification = wrong.value.after
    with pytest.raises(VerificationInvalid):
        used(verification)


@pytest.mark.parametrize("seconds", [0, 1, 10**6])
def test_it_runs_out_at_its_end_and_not_before(seconds: int) -> None:
    with pytest.raises(VerificationInvalid):
        used(SENT, now=SENT.expires_at + timedelta(seconds=seconds))
    assert used(SENT, now=SENT.expires_at - timedelta(microseconds=1)).used_at is not None


@pytest.mark.parametrize("by", [{"psn_no": "P2"}, {"caller": "portal new:2"}, {"caller": "portal psn:P1"}])
@pytest.mark.parametrize("code_index", [RIGHT, WRONG])
def test_it_is_good_for_one_person_and_one_caller_and_costs_no_other_a_try(
    by: dict[str, Any], code_index: bytes
) -> None:
    with pytest.raises(VerificationInvalid):
        used(SENT, code_index, **by)


def test_an_id_that_was_never_given_out_looks_like_one_that_is_used() -> None:
    refusals = []
    for verification in (None, replace(SENT, used_at=NOW), replace(SENT, wrong_tries=MOST_TRIES)):
        with pytest.raises(VerificationInvalid) as refused:
            used(verification)
        refusals.append((str(refused.value), refused.value.metadata))
    assert refusals == [refusals[0]] * 3


@given(st.lists(st.tuples(st.sampled_from([RIGHT, WRONG]), st.integers(0, 400)), max_size=30))
def test_however_it_is_tried_it_is_used_once_at_most_by_the_right_code_in_time_within_five_tries(
    tries: list[tuple[bytes, int]],
) -> None:
    verification, uses, wrong = SENT, 0, 0
    for code_index, second in sorted(tries, key=lambda one: one[1]):
        now = NOW + timedelta(seconds=second)
        try:
            verification = used(verification, code_index, now)
        except CodeWrong as refused:
            verification, wrong = refused.after, wrong + 1
        except VerificationInvalid:
            assert uses or wrong == MOST_TRIES or now >= SENT.expires_at
        else:
            uses += 1
            assert (code_index, wrong < MOST_TRIES, now < SENT.expires_at) == (RIGHT, True, True)
    assert uses <= 1
    assert wrong <= MOST_TRIES
    assert verification.wrong_tries == wrong


@pytest.mark.parametrize(
    ("someone", "caller", "needed"),
    [
        (person(), None, True),
        (person(registration=Registration(NOW, "P1")), None, True),
        (person(), "P1", True),
        (person(registration=Registration(NOW, "P1")), "P1", False),
        (person("P2", CHILD), "P1", False),
        (person("P2", CHILD), None, False),
        (person("P2", CHILD), "P2", False),
        (person("P2"), "P1", False),
    ],
)
def test_an_adult_in_person_needs_a_code_unless_logged_in_as_who_they_are(
    someone: Any, caller: str | None, *, needed: bool
) -> None:
    assert needs_code(someone, caller, TODAY) is needed


def test_from_the_eighteenth_birthday_on_a_code_is_needed() -> None:
    child = person("P2", date(2007, 6, 10))
    assert needs_code(child, None, date(2025, 6, 10))
    assert not needs_code(child, None, date(2025, 6, 9))


def test_codes_are_six_digits_and_use_all_of_them() -> None:
    codes = {new_code() for _ in range(2000)}
    assert all(len(code) == 6 and code.isascii() and code.isdigit() for code in codes)
    assert len(codes) > 1900
    assert {code[0] for code in codes} == set("0123456789")


@pytest.mark.parametrize(
    ("tel", "shown"),
    [("13999990000", "*******0000"), ("+8613999990000", "**********0000"), ("12345", "***45"), ("123456", "****56")],
)
def test_a_telephone_is_shown_by_its_last_digits(tel: str, shown: str) -> None:
    assert masked_tel(tel) == shown

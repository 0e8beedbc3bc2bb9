"""Who may be bound to whom (R1–R4)."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binding.domain.applications import Application, Proof, ProofKind
from binding.domain.eligibility import (
    PROOFS_OF,
    Circumstances,
    Policy,
    RelationshipNotAllowed,
    TooManyRelations,
    is_minor,
    refuse_ineligible,
    relation_of,
)
from binding.domain.errors import Refused
from binding.domain.persons import Person
from binding.domain.relations import EndCause, Relation, Relationship, RelationState, next_priority
from binding.testing import (
    FATHER,
    GRANDMA,
    MOTHER,
    NOON,
    TODAY,
    application,
    child,
    enrolment,
    father,
    mother,
    named,
    relation,
)

YESTERDAY = TODAY - timedelta(days=1)


def proof(kind: ProofKind) -> Proof:
    return Proof(named(kind), kind, "image/png", "0" * 64, 1)


BIRTH, HOUSE, MARRIAGE = (
    proof(ProofKind.BIRTH_CERTIFICATE),
    proof(ProofKind.HOUSEHOLD_REGISTER),
    proof(ProofKind.MARRIAGE_CERTIFICATE),
)


def for_child(**changes: Any) -> Application:
    return application(**({"proofs": (BIRTH,)} | changes))


def for_wife(**changes: Any) -> Application:
    made = application(
        beneficiary_psn_no=MOTHER, relationship=Relationship.SPOUSE, proofs=(MARRIAGE,), consented_at=NOON
    )
    return replace(made, **changes)


def facts(payer: Person | None = None, beneficiary: Person | None = None, **changes: Any) -> Circumstances:
    made = Circumstances(payer or father(), beneficiary or child(), (), None, TODAY)
    return replace(made, **changes)


def reason(it: Application, circumstances: Circumstances, policy: Policy | None = None) -> str | None:
    try:
        refuse_ineligible(it, circumstances, policy or Policy())
    except Refused as refused:
        return refused.reason
    return None


def employed(**changes: Any) -> Person:
    return father(enrolments=(enrolment(**changes),))


def insured_child(**changes: Any) -> Person:
    return child(enrolments=(enrolment(**({"insutype": "390"} | changes)),))


def test_a_father_may_pay_for_his_child() -> None:
    assert reason(for_child(), facts()) is None


@pytest.mark.parametrize(
    "payer",
    [
        employed(insutype="390"),
        employed(psn_insu_stas=2),
        employed(psn_insu_stas=0),
        employed(insuplc_admdvs="650102"),
        employed(valid_to=YESTERDAY),
        employed(valid_from=TODAY + timedelta(days=1)),
        father(died_on=YESTERDAY),
        father(enrolments=()),
    ],
    ids=["resident", "suspended", "not insured", "other city", "over", "not yet", "dead", "never insured"],
)
def test_only_an_employee_in_good_standing_of_the_region_pays(payer: Person) -> None:
    assert reason(for_child(), facts(payer)) == "PAYER_NOT_ELIGIBLE"


def test_an_unknown_payer_or_beneficiary_is_refused() -> None:
    assert reason(for_child(), Circumstances(None, child(), (), None, TODAY)) == "PAYER_NOT_ELIGIBLE"
    assert reason(for_child(), Circumstances(father(), None, (), None, TODAY)) == "BENEFICIARY_NOT_ELIGIBLE"


def test_arrears_do_not_keep_a_payer_from_applying() -> None:
    assert reason(for_child(), facts(employed(arrears=True))) is None


@pytest.mark.parametrize(
    "beneficiary",
    [
        insured_child(insuplc_admdvs="310104"),
        insured_child(psn_insu_stas=4),
        insured_child(valid_to=YESTERDAY),
        child(died_on=YESTERDAY),
        child(brdy=None),
    ],
    ids=["elsewhere", "ended", "over", "dead", "not registered"],
)
def test_a_beneficiary_is_insured_in_xinjiang_and_registered(beneficiary: Person) -> None:
    assert reason(for_child(), facts(beneficiary=beneficiary)) == "BENEFICIARY_NOT_ELIGIBLE"


def test_the_regions_are_policy() -> None:
    elsewhere = Policy(account_region_prefix="4403", insured_region_prefix="44")
    payer, beneficiary = employed(insuplc_admdvs="440304"), insured_child(insuplc_admdvs="440106")
    assert reason(for_child(), facts(payer, beneficiary), elsewhere) is None
    assert reason(for_child(), facts(payer, beneficiary)) == "PAYER_NOT_ELIGIBLE"


def test_nobody_is_their_own_payer() -> None:
    it = for_child(beneficiary_psn_no=FATHER)
    assert reason(it, facts(beneficiary=father())) == "RELATIONSHIP_NOT_ALLOWED"


@pytest.mark.parametrize("relationship", [Relationship.SPOUSE, Relationship.PARENT])
def test_for_a_minor_only_a_parent_applies(relationship: Relationship) -> None:
    it = for_child(relationship=relationship, proofs=(HOUSE,), consented_at=NOON)
    assert reason(it, facts()) == "RELATIONSHIP_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("brdy", "expected"),
    [
        (date(2007, 6, 10), "CONSENT_MISSING"),  # 18 today
        (date(2007, 6, 11), None),  # 18 tomorrow
        (date(2004, 2, 29), "CONSENT_MISSING"),
    ],
)
def test_from_eighteen_on_the_beneficiary_consents(brdy: date, expected: str | None) -> None:
    assert reason(for_child(), facts(beneficiary=child(brdy=brdy))) == expected
    assert reason(for_child(consented_at=NOON), facts(beneficiary=child(brdy=brdy))) is None


@pytest.mark.parametrize(
    ("relationship", "showing"),
    [
        (Relationship.CHILD, {ProofKind.BIRTH_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER}),
        (Relationship.PARENT, {ProofKind.BIRTH_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER}),
        (Relationship.SPOUSE, {ProofKind.MARRIAGE_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER}),
    ],
)
@pytest.mark.parametrize("uploaded", list(ProofKind))
def test_a_proof_has_to_show_the_relationship(
    relationship: Relationship, showing: set[ProofKind], uploaded: ProofKind
) -> None:
    it = for_wife(relationship=relationship, proofs=(proof(uploaded),))
    years = {Relationship.CHILD: 2005, Relationship.PARENT: 1960, Relationship.SPOUSE: 1986}[relationship]
    expected = None if uploaded in showing else "PROOF_MISSING"
    assert reason(it, facts(beneficiary=mother(brdy=date(years, 1, 1)))) == expected


def test_the_kinds_of_proof_are_policy() -> None:
    only_married = Policy(proofs_of={**PROOFS_OF, Relationship.SPOUSE: frozenset({ProofKind.MARRIAGE_CERTIFICATE})})
    wife = facts(beneficiary=mother())
    assert reason(for_wife(proofs=(HOUSE,)), wife, only_married) == "PROOF_MISSING"
    assert reason(for_wife(proofs=(HOUSE,)), wife) is None
    assert reason(for_wife(proofs=(HOUSE, MARRIAGE)), wife, only_married) is None


WIDER = [Relationship.SIBLING, Relationship.GRANDPARENT, Relationship.GRANDCHILD]


@pytest.mark.parametrize("relationship", WIDER)
def test_wider_kin_is_a_switch(relationship: Relationship) -> None:
    years = {Relationship.SIBLING: 1987, Relationship.GRANDPARENT: 1940, Relationship.GRANDCHILD: 2009}[relationship]
    relative = mother(brdy=date(years, 6, 1))
    it = for_wife(relationship=relationship, proofs=(HOUSE,))
    later = facts(beneficiary=relative, day=date(2028, 1, 1))
    assert reason(it, later) == "RELATIONSHIP_NOT_ALLOWED"
    assert reason(replace(it, valid_to=date(2029, 1, 1)), later, Policy(wider_kin=True)) is None


def test_for_a_minor_no_wider_kin_applies_either() -> None:
    it = for_child(relationship=Relationship.GRANDCHILD, proofs=(HOUSE,))
    assert cause(it, facts(payer=father(brdy=date(1950, 1, 1))), Policy(wider_kin=True)) == "MINOR"


def cause(it: Application, circumstances: Circumstances, policy: Policy | None = None) -> str | None:
    with pytest.raises(RelationshipNotAllowed) as refused:
        refuse_ineligible(it, circumstances, policy or Policy())
    return refused.value.metadata["cause"]


GRANDMA_OLD = Person(GRANDMA, date(1958, 1, 1), None, (enrolment(insutype="390"),))
MARRIED = [
    relation("m", beneficiary_psn_no=MOTHER, relationship=Relationship.SPOUSE),
    relation("m", payer_psn_no=MOTHER, beneficiary_psn_no=FATHER, relationship=Relationship.SPOUSE),
]
HER_MOTHER = [
    relation("g", payer_psn_no=MOTHER, beneficiary_psn_no=GRANDMA, relationship=Relationship.PARENT),
    relation("g", payer_psn_no=GRANDMA, beneficiary_psn_no=MOTHER, relationship=Relationship.CHILD),
]
ENDED = {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}


@pytest.mark.parametrize("married", MARRIED, ids=["he pays for her", "she pays for him"])
@pytest.mark.parametrize("born", HER_MOTHER, ids=["she pays for her mother", "her mother pays for her"])
@pytest.mark.parametrize("ended", [{}, ENDED], ids=["living", "ended"])
def test_a_spouses_parent_is_refused_as_far_as_relations_tell(
    married: Relation, born: Relation, ended: dict[str, Any]
) -> None:
    known = (replace(married, **ended), replace(born, **ended))
    for_her_mother = for_wife(beneficiary_psn_no=GRANDMA, relationship=Relationship.PARENT, proofs=(HOUSE,))
    assert cause(for_her_mother, facts(beneficiary=GRANDMA_OLD, on_record=known)) == "IN_LAW"
    for part in (known[:1], known[1:], ()):
        assert reason(for_her_mother, facts(beneficiary=GRANDMA_OLD, on_record=part)) is None


@pytest.mark.parametrize("married", MARRIED, ids=["he pays for her", "she pays for him"])
@pytest.mark.parametrize("born", HER_MOTHER, ids=["she pays for her mother", "her mother pays for her"])
def test_a_childs_spouse_is_no_child(married: Relation, born: Relation) -> None:
    payer = replace(GRANDMA_OLD, enrolments=(enrolment(),))
    for_her_husband = for_wife(
        payer_psn_no=GRANDMA, beneficiary_psn_no=FATHER, relationship=Relationship.CHILD, proofs=(HOUSE,)
    )
    assert cause(for_her_husband, facts(payer, father(), on_record=(married, born))) == "IN_LAW"
    assert reason(for_her_husband, facts(payer, father(), on_record=(married,))) is None


@given(payer=st.dates(date(1930, 1, 1), date(2007, 1, 1)), beneficiary=st.dates(date(1930, 1, 1), TODAY))
def test_a_parent_is_so_many_years_older_than_the_child(payer: date, beneficiary: date) -> None:
    for relationship, older, younger in (
        (Relationship.CHILD, payer, beneficiary),
        (Relationship.PARENT, beneficiary, payer),
    ):
        it = for_child(relationship=relationship, consented_at=NOON)
        circumstances = facts(father(brdy=payer), child(brdy=beneficiary))
        if relationship is Relationship.PARENT and is_minor(circumstances.beneficiary, TODAY, Policy()):
            continue
        old_enough = (older.year + 12, older.month, older.day) <= (younger.year, younger.month, younger.day)
        assert reason(it, circumstances) == (None if old_enough else "AGE_IMPOSSIBLE")


@pytest.mark.parametrize(
    ("brdy", "expected"),
    [(date(1997, 3, 2), None), (date(1997, 3, 1), "AGE_IMPOSSIBLE"), (date(1985, 3, 2), "AGE_IMPOSSIBLE")],
    ids=["on the day", "a day short", "twins"],
)
def test_the_twelfth_birthday_is_enough(brdy: date, expected: str | None) -> None:
    it = for_child(consented_at=NOON)
    assert reason(it, facts(beneficiary=child(brdy=brdy))) == expected
    assert reason(it, facts(beneficiary=child(brdy=brdy)), Policy(generation_years=13)) == "AGE_IMPOSSIBLE"


def test_two_generations_are_twice_as_many_years() -> None:
    it = for_child(relationship=Relationship.GRANDCHILD, proofs=(HOUSE,), consented_at=NOON)
    wide = Policy(wider_kin=True)
    grown = child(brdy=date(2000, 1, 1))
    assert reason(it, facts(father(brdy=date(1976, 1, 1)), grown), wide) is None
    assert reason(it, facts(father(brdy=date(1976, 1, 2)), grown), wide) == "AGE_IMPOSSIBLE"


def test_a_payer_who_has_not_registered_is_refused() -> None:
    assert reason(for_child(), facts(father(brdy=None))) == "PAYER_NOT_ELIGIBLE"


@pytest.mark.parametrize("side", ["PAYER", "BENEFICIARY"])
def test_nobody_has_more_relations_than_the_region_allows(side: str) -> None:
    other = "beneficiary_psn_no" if side == "PAYER" else "payer_psn_no"
    living = tuple(relation(f"r{n}", **{other: f"B{n}"}) for n in range(3))
    over = (relation("over", **{other: "B8"}, valid_to=YESTERDAY), relation("gone", **{other: "B9"}, **ENDED))
    policy = Policy(max_relations_of_payer=4, max_relations_of_beneficiary=4)
    assert reason(for_child(), facts(on_record=living + over), policy) is None
    fourth = relation("r4", **{other: "B4"}, state=RelationState.SUSPENDED)
    with pytest.raises(TooManyRelations) as refused:
        refuse_ineligible(for_child(), facts(on_record=(*living, fourth)), policy)
    assert refused.value.metadata == {"side": side, "most": "4"}
    other_way = tuple(
        replace(it, payer_psn_no=it.beneficiary_psn_no, beneficiary_psn_no=it.payer_psn_no) for it in living
    )
    assert (
        reason(
            for_child(), facts(on_record=other_way), Policy(max_relations_of_payer=3, max_relations_of_beneficiary=3)
        )
        is None
    )


def test_without_any_proof_nothing_is_shown() -> None:
    assert reason(for_child(proofs=()), facts()) == "PROOF_MISSING"


def test_a_pair_has_one_application_and_one_relation_at_a_time() -> None:
    it = for_child()
    assert reason(it, facts(pending_application_id=named("other"))) == "RELATION_EXISTS"
    assert reason(it, facts(pending_application_id=it.application_id)) is None
    assert reason(it, facts(relations=(relation(),))) == "RELATION_EXISTS"
    assert reason(it, facts(relations=(relation(state=RelationState.SUSPENDED),))) == "RELATION_EXISTS"
    assert reason(it, facts(relations=(relation(payer_psn_no=MOTHER),))) is None


def test_a_relation_that_ended_or_ran_out_does_not_stand_in_the_way() -> None:
    ended = relation(state=RelationState.ENDED, end_cause=EndCause.UNBOUND, ended_at=NOON)
    assert reason(for_child(), facts(relations=(ended, relation("old", valid_to=YESTERDAY)))) is None


def test_a_validity_that_is_over_before_it_begins_is_refused() -> None:
    assert reason(for_child(valid_to=YESTERDAY), facts()) == "STATE_FORBIDS"
    assert reason(for_child(valid_from=date(2025, 1, 1), valid_to=YESTERDAY), facts()) is None


def test_the_relation_has_the_dates_that_were_asked_for_or_begins_today() -> None:
    made = relation_of(for_child(), named("new"), 4, NOON, TODAY)
    assert (made.valid_from, made.valid_to, made.priority) == (TODAY, date(2026, 12, 31), 4)
    dated = relation_of(for_child(valid_from=date(2025, 1, 1), priority=2), named("new"), 4, NOON, TODAY)
    assert (dated.valid_from, dated.priority) == (date(2025, 1, 1), 2)


def test_the_next_payer_comes_after_those_that_are_there() -> None:
    assert next_priority([]) == 1
    assert next_priority([relation(priority=3), relation("b", priority=1)]) == 4
    assert next_priority([relation(priority=99)]) == 99

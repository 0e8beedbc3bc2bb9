"""Changes of institutions by two operators, as they meet InstitutionService."""

from typing import Any
from uuid import uuid4

import pytest

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import institution_pb2
from identity.domain.refusals import ChangeDecided, ChangeNotFound, ChangeOutdated, FourEyes, NothingToChange
from identity.testing import HOSPITAL, NOW, Bench, call_as_clerk, institution
from kit.clock import SHANGHAI
from kit.errors import InvalidFields

PROPOSED = institution_pb2.INSTITUTION_CHANGE_STATE_PROPOSED
CONFIRMED = institution_pb2.INSTITUTION_CHANGE_STATE_CONFIRMED
REJECTED = institution_pb2.INSTITUTION_CHANGE_STATE_REJECTED
CLINIC = institution_pb2.Institution(
    fixmedins_code=HOSPITAL,
    fixmedins_name="博乐市医院",
    fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
    admdvs="652701",
    designated_from="2020-01-01",
    remote_settlement=True,
)


@pytest.fixture
def known(bench: Bench) -> Bench:
    """A hospital on record."""
    bench.keep_institution(institution())
    return bench


def clinic(**changed: Any) -> institution_pb2.Institution:
    stated = institution_pb2.Institution()
    stated.CopyFrom(CLINIC)
    for name, value in changed.items():
        setattr(stated, name, value)
    return stated


async def propose(
    bench: Bench, stated: institution_pb2.Institution, reason: str = "违规"
) -> institution_pb2.InstitutionChange:
    request = institution_pb2.ProposeInstitutionChangeRequest(institution=stated, reason=reason)
    return (await bench.institutions.ProposeInstitutionChange(request, None)).change


async def confirm(bench: Bench, change_id: str, name: str = "li") -> institution_pb2.InstitutionChange:
    call_as_clerk(name, "operator")
    request = institution_pb2.ConfirmInstitutionChangeRequest(change_id=change_id)
    return (await bench.institutions.ConfirmInstitutionChange(request, None)).change


async def reject(bench: Bench, change_id: str, name: str = "li") -> institution_pb2.InstitutionChange:
    call_as_clerk(name, "operator")
    request = institution_pb2.RejectInstitutionChangeRequest(change_id=change_id, reason="材料不足")
    return (await bench.institutions.RejectInstitutionChange(request, None)).change


async def changes(bench: Bench, **asked: Any) -> institution_pb2.ListInstitutionChangesResponse:
    request = institution_pb2.ListInstitutionChangesRequest(**asked)
    return await bench.institutions.ListInstitutionChanges(request, None)


def suspended(bench: Bench) -> bool:
    return bench.repository.institutions[HOSPITAL].institution.suspended


async def test_a_proposal_changes_nothing_until_another_operator_confirms_it(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    proposal = await propose(known, clinic(suspended=True))
    assert (proposal.state, proposal.proposed_by, proposal.reason) == (PROPOSED, "clerk:wang", "违规")
    assert not suspended(known)
    assert known.repository.outbox.rows == []
    confirmed = await confirm(known, proposal.change_id)
    assert (confirmed.state, confirmed.decided_by) == (CONFIRMED, "clerk:li")
    assert confirmed.decided_at.ToDatetime(tzinfo=SHANGHAI) == NOW
    assert suspended(known)
    (event,) = known.repository.outbox.messages
    assert isinstance(event, events_pb2.InstitutionChanged)
    assert (event.institution.suspended, event.sequence) == (True, 2)


async def test_who_proposed_does_not_confirm(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    proposal = await propose(known, clinic(suspended=True))
    with pytest.raises(FourEyes):
        await confirm(known, proposal.change_id, "wang")
    assert not suspended(known)
    assert (await confirm(known, proposal.change_id)).state == CONFIRMED


async def test_a_new_institution_is_proposed_and_confirmed_too(bench: Bench) -> None:
    call_as_clerk("wang", "operator")
    proposal = await propose(bench, CLINIC)
    assert proposal.base_version == 0
    await confirm(bench, proposal.change_id)
    assert bench.repository.institutions[HOSPITAL].version == 1


async def test_a_proposal_is_bound_to_the_version_it_was_made_on(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    one = await propose(known, clinic(suspended=True))
    other = await propose(known, clinic(fixmedins_name="博乐市第一医院"))
    await confirm(known, one.change_id)
    with pytest.raises(ChangeOutdated):
        await confirm(known, other.change_id)
    assert suspended(known)
    listed = {change.change_id: change for change in (await changes(known)).changes}
    assert (listed[one.change_id].outdated, listed[other.change_id].outdated) == (False, True)
    assert (await reject(known, other.change_id)).state == REJECTED


async def test_what_the_feed_changed_since_makes_a_proposal_outdated(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    proposal = await propose(known, clinic(suspended=True))
    request = institution_pb2.RegisterInstitutionRequest(institution=clinic(admdvs="652722"))
    await known.institutions.RegisterInstitution(request, None)
    with pytest.raises(ChangeOutdated):
        await confirm(known, proposal.change_id)


async def test_the_feed_states_the_institution_again_and_lifts_no_suspension_of_two_operators(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    await confirm(known, (await propose(known, clinic(suspended=True))).change_id)
    told = len(known.repository.outbox.rows)
    again = institution_pb2.RegisterInstitutionRequest(institution=clinic())
    assert not (await known.institutions.RegisterInstitution(again, None)).changed
    assert (suspended(known), len(known.repository.outbox.rows)) == (True, told)
    await confirm(known, (await propose(known, clinic(), "整改完成")).change_id, "wang")
    assert not suspended(known)


@pytest.mark.parametrize("by", ["wang", "li"])
async def test_a_proposal_is_rejected_by_another_or_withdrawn(known: Bench, by: str) -> None:
    call_as_clerk("wang", "operator")
    proposal = await propose(known, clinic(suspended=True))
    rejected = await reject(known, proposal.change_id, by)
    assert (rejected.state, rejected.decided_by, rejected.rejection_reason) == (REJECTED, f"clerk:{by}", "材料不足")
    with pytest.raises(ChangeDecided):
        await confirm(known, proposal.change_id)
    assert not suspended(known)


async def test_what_is_decided_is_decided(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    proposal = await propose(known, clinic(suspended=True))
    await confirm(known, proposal.change_id)
    for again in (confirm, reject):
        with pytest.raises(ChangeDecided) as refused:
            await again(known, proposal.change_id)
        assert refused.value.metadata == {"state": "CONFIRMED"}
    assert known.repository.institutions[HOSPITAL].version == 2


async def test_what_is_so_already_is_not_proposed(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    with pytest.raises(NothingToChange):
        await propose(known, CLINIC)
    assert known.repository.kept_changes == {}


async def test_a_proposal_that_is_not_there_is_not_decided(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    for decide in (confirm, reject):
        with pytest.raises(ChangeNotFound):
            await decide(known, str(uuid4()))


async def test_periods_of_designation_are_in_order_and_do_not_overlap(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    for second, field in (
        ("2024-12-31", "institution.designations[1].valid_from"),
        ("2019-06-01", "institution.designations[1].valid_from"),
        ("2025-02-30", "institution.designations[1].valid_from"),
    ):
        stated = clinic()
        stated.designations.add(valid_from="2020-01-01", valid_to="2024-12-31")
        stated.designations.add(valid_from=second)
        with pytest.raises(InvalidFields) as refused:
            await propose(known, stated)
        assert refused.value.violations[0].field == field
    open_ended = clinic()
    open_ended.designations.add(valid_from="2020-01-01")
    open_ended.designations.add(valid_from="2026-01-01")
    with pytest.raises(InvalidFields):
        await propose(known, open_ended)


async def test_a_designation_that_ended_stays_as_history_beside_the_next(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    stated = clinic()
    stated.designations.add(valid_from="2020-01-01", valid_to="2024-12-31")
    stated.designations.add(valid_from="2026-01-01")
    proposal = await propose(known, stated)
    await confirm(known, proposal.change_id)
    (event,) = known.repository.outbox.messages
    assert isinstance(event, events_pb2.InstitutionChanged)
    told = event.institution
    assert [(one.valid_from, one.valid_to) for one in told.designations] == [
        ("2020-01-01", "2024-12-31"),
        ("2026-01-01", ""),
    ]
    assert (told.designated_from, told.designated_to) == ("2026-01-01", "")


async def test_proposals_are_listed_by_institution_and_state_in_pages(known: Bench) -> None:
    call_as_clerk("wang", "operator")
    known.keep_institution(institution("H65270100002"))
    first = await propose(known, clinic(suspended=True))
    second = await propose(known, clinic(fixmedins_code="H65270100002", suspended=True))
    third = await propose(known, clinic(admdvs="652722"))
    await reject(known, third.change_id)

    async def ids(**asked: Any) -> list[str]:
        return [change.change_id for change in (await changes(known, **asked)).changes]

    assert await ids() == [third.change_id, second.change_id, first.change_id]
    assert await ids(fixmedins_code=HOSPITAL) == [third.change_id, first.change_id]
    assert await ids(state=PROPOSED) == [second.change_id, first.change_id]
    page = await changes(known, page_size=2)
    assert await ids(page_size=2, page_token=page.next_page_token) == [first.change_id]


async def test_institutions_are_listed_by_region_and_suspension_in_pages(bench: Bench) -> None:
    bench.keep_institution(institution("H65270100001"))
    bench.keep_institution(institution("H65270100002", suspended=True))
    bench.keep_institution(institution("H31010400003", admdvs="310104"))

    async def codes(**asked: Any) -> tuple[list[str], str]:
        answer = await bench.institutions.ListInstitutions(institution_pb2.ListInstitutionsRequest(**asked), None)
        return [one.fixmedins_code for one in answer.institutions], answer.next_page_token

    assert (await codes())[0] == ["H31010400003", "H65270100001", "H65270100002"]
    assert (await codes(admdvs_prefix="6527"))[0] == ["H65270100001", "H65270100002"]
    assert (await codes(suspended_only=True))[0] == ["H65270100002"]
    page, token = await codes(page_size=2)
    rest, end = await codes(page_size=2, page_token=token)
    assert (page + rest, end) == (["H31010400003", "H65270100001", "H65270100002"], "")

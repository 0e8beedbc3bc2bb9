"""Applications, reviews and relations as their callers meet them: real gRPC with certificates and assertions."""

import base64
import hashlib
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from binding.testing import CHILD, FATHER, MOTHER, NOON, named, relation
from binding.testing_served import TIMEOUT_SECONDS, Binding, ask, create_request, fields_refused, refused
from gongji.binding.v1 import (
    application_pb2,
    authorization_pb2,
    decision_reason_pb2,
    relation_pb2,
    review_pb2,
)
from gongji.common.v1 import reason_pb2
from kit.timestamps import timestamp


async def test_from_application_to_a_captured_hold(binding: Binding) -> None:
    relation_id = await binding.approved()
    asked = authorization_pb2.AuthorizeRequest(requests=[ask("a", 9_000)])
    (result,) = (await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)).results
    (grant,) = result.grants
    assert (grant.payer_psn_no, grant.relation_id, grant.granted_fen) == (FATHER, relation_id, 6_000)
    assert (grant.reason, grant.window) == (reason_pb2.REASON_LIMIT_REACHED, relation_pb2.LIMIT_WINDOW_SETTLEMENT)

    paid = authorization_pb2.Outcome(
        authorization_id=str(named("a")),
        state=authorization_pb2.OUTCOME_STATE_CAPTURED,
        lines=[authorization_pb2.OutcomeLine(relation_id=relation_id, amount_fen=4_500)],
        occurred_at=timestamp(NOON),
    )
    preview = authorization_pb2.PreviewAuthorizationRequest(requests=[ask("b", 50_000, outcomes=[paid])])
    (shown,) = (await binding.authorizations.PreviewAuthorization(preview, timeout=TIMEOUT_SECONDS)).results
    assert shown.grants[0].granted_fen == 6_000

    get = relation_pb2.GetRelationRequest(relation_id=relation_id)
    seen = (await binding.relations.GetRelation(get, **binding.citizen(CHILD))).relation
    assert seen.state == relation_pb2.RELATION_STATE_ACTIVE
    assert (seen.valid_from, seen.valid_to, seen.priority) == ("2025-06-10", "2026-12-31", 1)
    assert seen.limits == relation_pb2.Limits(settlement_fen=6_000, year_fen=50_000)
    uses = {use.window: (use.used_fen, use.held_fen, use.HasField("limit_fen") and use.limit_fen) for use in seen.use}
    assert uses == {
        relation_pb2.LIMIT_WINDOW_DAY: (4_500, 0, False),
        relation_pb2.LIMIT_WINDOW_MONTH: (4_500, 0, False),
        relation_pb2.LIMIT_WINDOW_YEAR: (4_500, 0, 50_000),
        relation_pb2.LIMIT_WINDOW_TOTAL: (4_500, 0, False),
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"valid_from": "2025-02-30"}, "valid_from"),
        ({"valid_to": "2025-13-01"}, "valid_to"),
        ({"valid_to": "2025-06-09"}, "valid_to"),
        ({"valid_to": "soon"}, "valid_to"),
        ({"request_id": "1"}, "request_id"),
        ({"relationship": 0}, "relationship"),
        ({"relationship": 9}, "relationship"),
        ({"limits": relation_pb2.Limits()}, "limits"),
        ({"limits": relation_pb2.Limits(day_fen=0)}, "limits.day_fen"),
        ({"limits": relation_pb2.Limits(day_fen=10_000_000_001)}, "limits.day_fen"),
        ({"priority": 100}, "priority"),
        ({"pledge_version": ""}, "pledge_version"),
        ({"payer_psn_no": "张三"}, "payer_psn_no"),
    ],
)
async def test_a_malformed_application_is_refused_by_field(
    binding: Binding, changes: dict[str, Any], field: str
) -> None:
    call = binding.applications.CreateApplication(create_request(**changes), **binding.citizen(FATHER))
    assert await fields_refused(call) == {field}
    assert binding.state.applications == {}


async def test_citizens_are_not_told_which_clerk_has_it(binding: Binding) -> None:
    await binding.approved()
    (application_id,) = binding.state.applications
    get = application_pb2.GetApplicationRequest(application_id=str(application_id))
    as_father = (await binding.applications.GetApplication(get, **binding.citizen(FATHER))).application
    as_clerk = (await binding.applications.GetApplication(get, **binding.person("clerk:x", "auditor"))).application
    assert (as_father.handler, as_clerk.handler) == ("", "clerk:wang")
    assert as_father.state == application_pb2.APPLICATION_STATE_APPROVED


async def test_consent_is_the_beneficiarys(binding: Binding) -> None:
    request = create_request(beneficiary_psn_no=MOTHER, relationship=relation_pb2.RELATIONSHIP_SPOUSE)
    created = await binding.applications.CreateApplication(request, **binding.citizen(FATHER))
    give = application_pb2.GiveConsentRequest(application_id=created.application_id)
    assert await refused(binding.applications.GiveConsent(give, **binding.citizen(FATHER))) == "FORBIDDEN"
    assert await refused(binding.applications.GiveConsent(give, **binding.citizen(MOTHER))) == "CONSENT_UNSIGNED"
    get = application_pb2.GetApplicationRequest(application_id=created.application_id)
    shown = (await binding.applications.GetApplication(get, **binding.citizen(MOTHER))).application
    pledge = await binding.applications.GetPledge(application_pb2.GetPledgeRequest(), **binding.citizen(MOTHER))
    assert shown.pledge_sha256 == pledge.sha256 == hashlib.sha256(pledge.text.encode()).hexdigest()
    agreed = {"application_id": created.application_id, "pledge_sha256": pledge.sha256}
    signing = binding.person(f"psn:{MOTHER}", "citizen", consent=agreed)
    answer = await binding.applications.GiveConsent(give, **signing)
    (kept,) = binding.state.consents
    assert (kept.psn_no, kept.pledge_sha256, kept.issuer) == (MOTHER, pledge.sha256, "gongji-portal")
    assert kept.assertion == dict(signing["metadata"])["x-gongji-assertion"]
    assert answer.consented_at.ToDatetime(tzinfo=UTC) == NOON


async def test_lists_are_paged_by_opaque_tokens(binding: Binding) -> None:
    for number in range(5):
        made = relation(f"r{number}", beneficiary_psn_no=f"B{number}", approved_at=NOON + timedelta(days=number))
        binding.state.relations[made.relation_id] = made
    found: list[str] = []
    token = ""
    for _ in range(3):
        request = relation_pb2.ListRelationsRequest(psn_no=FATHER, page_size=2, page_token=token)
        page = await binding.relations.ListRelations(request, **binding.citizen(FATHER))
        found += [it.beneficiary_psn_no for it in page.relations]
        token = page.next_page_token
    assert found == ["B4", "B3", "B2", "B1", "B0"]
    assert token == ""


@pytest.mark.parametrize(
    "token",
    [
        "garbage!",
        base64.urlsafe_b64encode(b"2025-06-10T00:00:00 no-uuid").decode(),
        base64.urlsafe_b64encode(f"2025-06-10T00:00:00 {uuid.uuid4()}".encode()).decode(),
        base64.urlsafe_b64encode("张三".encode()).decode(),
    ],
)
async def test_a_token_that_is_none_of_ours_is_refused(binding: Binding, token: str) -> None:
    waiting = binding.reviews.ListWaiting(
        review_pb2.ListWaitingRequest(page_token=token), **binding.person("clerk:wang", "handler")
    )
    assert await fields_refused(waiting) == {"page_token"}
    listed = binding.relations.ListRelations(
        relation_pb2.ListRelationsRequest(psn_no=FATHER, page_token=token), **binding.citizen(FATHER)
    )
    assert await fields_refused(listed) == {"page_token"}


async def test_the_queue_and_the_steps_of_a_relation(binding: Binding) -> None:
    relation_id = await binding.approved()
    empty = await binding.reviews.ListWaiting(
        review_pb2.ListWaitingRequest(), **binding.person("clerk:wang", "handler")
    )
    assert list(empty.applications) == []
    operator = binding.person("clerk:ops", "operator")
    suspend = relation_pb2.SuspendRelationRequest(relation_id=relation_id, reason="checking")
    assert await refused(binding.relations.SuspendRelation(suspend, **binding.citizen(FATHER))) == "FORBIDDEN"
    suspended = (await binding.relations.SuspendRelation(suspend, **operator)).relation
    assert (suspended.state, suspended.state_reason) == (relation_pb2.RELATION_STATE_SUSPENDED, "checking")
    resume = relation_pb2.ResumeRelationRequest(relation_id=relation_id, reason="checked")
    assert (await binding.relations.ResumeRelation(resume, **operator)).relation.state_reason == ""
    change = relation_pb2.ChangeLimitsRequest(relation_id=relation_id, limits=relation_pb2.Limits(day_fen=7))
    changed = (await binding.relations.ChangeLimits(change, **binding.citizen(FATHER))).relation
    assert changed.limits == relation_pb2.Limits(day_fen=7)
    unbind = relation_pb2.UnbindRelationRequest(relation_id=relation_id)
    ended = (await binding.relations.UnbindRelation(unbind, **binding.citizen(FATHER))).relation
    assert ended.state == relation_pb2.RELATION_STATE_ENDED


@pytest.mark.parametrize("reason", ["\x00", "a\x00b", "\x1b[2J", "a\x7f"])
async def test_a_reason_with_control_characters_is_refused(binding: Binding, reason: str) -> None:
    relation_id = str(uuid.uuid4())
    unbind = relation_pb2.UnbindRelationRequest(relation_id=relation_id, reason=reason)
    suspend = relation_pb2.SuspendRelationRequest(relation_id=relation_id, reason=reason)
    decide = review_pb2.DecideApplicationRequest(
        application_id=relation_id,
        decision=review_pb2.DECISION_REJECT,
        reason=reason,
        reason_code=decision_reason_pb2.DECISION_REASON_DUPLICATE,
    )
    calls = (
        binding.relations.UnbindRelation(unbind, **binding.citizen(FATHER)),
        binding.relations.SuspendRelation(suspend, **binding.person("clerk:ops", "operator")),
        binding.reviews.DecideApplication(decide, **binding.person("clerk:li", "decider")),
    )
    for call in calls:
        assert await fields_refused(call) == {"reason"}


async def test_time_is_the_injected_clocks(binding: Binding) -> None:
    binding.clock.set(datetime(2026, 1, 1, 0, 0, tzinfo=UTC))
    relation_id = await binding.approved()
    assert binding.state.relations[uuid.UUID(relation_id)].valid_from == date(2026, 1, 1)

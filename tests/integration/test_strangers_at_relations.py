"""Somebody who is no party to a relation tries every call of RelationService."""

from collections.abc import Awaitable, Callable
from typing import Any

from support.families import Families, Family
from support.refusals import refusal

from gongji.binding.v1 import relation_pb2 as contract
from gongji_local.client import Portal

A_YEAR_ON = "2027-12-31"


def attempts(family: Family, portal: Portal) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every call that a citizen may make at all, about this family."""
    service, relation_id = portal.relation_service, family.relation_id("father", "child")
    child, father = family.psn_no("child"), family.psn_no("father")
    limits = contract.Limits(day_fen=1)
    requests = {
        "GetRelation": contract.GetRelationRequest(relation_id=relation_id),
        "ListRelations": contract.ListRelationsRequest(psn_no=father),
        "ListHistory": contract.RelationServiceListHistoryRequest(relation_id=relation_id),
        "ChangeLimits": contract.ChangeLimitsRequest(relation_id=relation_id, limits=limits),
        "ExtendValidity": contract.ExtendValidityRequest(relation_id=relation_id, valid_to=A_YEAR_ON),
        "ListPayers": contract.ListPayersRequest(beneficiary_psn_no=child),
        "OrderPayers": contract.OrderPayersRequest(beneficiary_psn_no=child, payer_psn_nos=[father]),
        "GetOverview": contract.GetOverviewRequest(psn_no=father, side=contract.RELATION_SIDE_PAYER),
        "UnbindRelation": contract.UnbindRelationRequest(relation_id=relation_id),
        "SuspendRelation": contract.SuspendRelationRequest(relation_id=relation_id, reason="mine"),
        "ResumeRelation": contract.ResumeRelationRequest(relation_id=relation_id, reason="mine"),
    }

    def attempt(name: str) -> Callable[[], Awaitable[Any]]:
        return lambda: portal.call(getattr(service, name), requests[name])

    return {name: attempt(name) for name in requests}


async def test_a_stranger_gets_nothing_and_changes_nothing(families: Families) -> None:
    family, other = await families.make({"father": 10_000}), await families.make({"father": 0})
    father = family.world.portal("father")
    before = await father.relation(family.relation_id("father", "child"))
    tried = attempts(family, other.world.portal("father"))
    methods = {method.name for method in contract.DESCRIPTOR.services_by_name["RelationService"].methods}
    assert tried.keys() == methods
    for name, attempt in tried.items():
        assert await refusal(attempt) == "FORBIDDEN", name
    assert await father.relation(family.relation_id("father", "child")) == before


async def test_the_child_sees_its_relations_and_changes_none(families: Families) -> None:
    family = await families.make({"father": 10_000})
    tried = attempts(family, family.world.portal("child"))
    for name in (
        "ChangeLimits",
        "ExtendValidity",
        "OrderPayers",
        "UnbindRelation",
        "SuspendRelation",
        "ResumeRelation",
    ):
        assert await refusal(tried[name]) == "FORBIDDEN", name
    await tried["GetRelation"]()
    await tried["ListHistory"]()


async def test_the_payer_extends_and_sees_what_is_left(families: Families) -> None:
    family = await families.make({"father": 10_000})
    tried = attempts(family, family.world.portal("father"))
    extended = await tried["ExtendValidity"]()
    assert extended.relation.valid_to == A_YEAR_ON
    await family.settle("child", 1_000)
    await family.quiet()
    overview = await tried["GetOverview"]()
    (view,) = overview.relations
    year = next(window for window in view.windows if window.window == contract.LIMIT_WINDOW_YEAR)
    assert (year.used_fen, year.held_fen, year.left_fen) == (1_000, 0, 999_000)
    assert (view.payable_fen, view.reason, overview.day) == (999_000, 0, "2025-06-10")

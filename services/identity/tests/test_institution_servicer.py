"""InstitutionService as a caller meets it, on a repository in memory."""

import pytest

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import institution_pb2
from identity.domain.refusals import InstitutionNotFound
from identity.testing import HOSPITAL, Bench
from kit.errors import InvalidFields

CLINIC = institution_pb2.Institution(
    fixmedins_code=HOSPITAL,
    fixmedins_name="博乐市医院",
    fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
    admdvs="652701",
    designated_from="2020-01-01",
    remote_settlement=True,
)


def clinic(**changed: object) -> institution_pb2.Institution:
    stated = institution_pb2.Institution()
    stated.CopyFrom(CLINIC)
    for name, value in changed.items():
        setattr(stated, name, value)
    return stated


async def register(bench: Bench, stated: institution_pb2.Institution) -> bool:
    request = institution_pb2.RegisterInstitutionRequest(institution=stated)
    return (await bench.institutions.RegisterInstitution(request, None)).changed


async def get(bench: Bench, code: str) -> institution_pb2.Institution:
    request = institution_pb2.GetInstitutionRequest(fixmedins_code=code)
    return (await bench.institutions.GetInstitution(request, None)).institution


async def test_an_institution_comes_back_as_it_was_stated(bench: Bench) -> None:
    stated = clinic(designated_to="2025-12-31", suspended=True)
    assert await register(bench, stated)
    stated.designations.add(valid_from="2020-01-01", valid_to="2025-12-31")
    assert await get(bench, HOSPITAL) == stated


async def test_only_real_changes_are_told_and_numbered(bench: Bench) -> None:
    assert [await register(bench, one) for one in (CLINIC, CLINIC, clinic(suspended=True), CLINIC)] == [
        True,
        False,
        True,
        True,
    ]
    told = [event for event in bench.repository.outbox.messages if isinstance(event, events_pb2.InstitutionChanged)]
    assert [(event.sequence, event.institution.suspended) for event in told] == [(1, False), (2, True), (3, False)]
    assert {row.key for row in bench.repository.outbox.rows} == {HOSPITAL}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"designated_from": "2025-02-30"}, "institution.designated_from"),
        ({"designated_to": "2019-12-31"}, "institution.designated_to"),
        ({"designated_from": "", "designated_to": "2025-12-31"}, "institution.designated_to"),
    ],
)
async def test_a_designation_that_cannot_be_names_the_field(bench: Bench, changed: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        await register(bench, clinic(**changed))
    assert refused.value.violations[0].field == field
    assert bench.repository.institutions == {}


async def test_an_unknown_institution_is_not_found(bench: Bench) -> None:
    with pytest.raises(InstitutionNotFound):
        await get(bench, HOSPITAL)

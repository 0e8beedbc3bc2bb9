"""Imports as a caller meets them: the stream, and what operators ask about batches."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gongji.identity.v1 import person_pb2, register_import_pb2
from identity.domain.register_import import ImportChanged, ImportGap, ImportNotFound
from identity.service import ImportService
from identity.servicer import RegisterImportServicer
from identity.testing import ADULT, NAME, NOW, Bench, call_as_operator, identity_number, vault

OPEN = register_import_pb2.REGISTER_IMPORT_STATE_OPEN
COMPLETE = register_import_pb2.REGISTER_IMPORT_STATE_COMPLETE
SHA = "ab" * 32


def row(number: int, *, good: bool = True) -> person_pb2.InsuredRow:
    return person_pb2.InsuredRow(
        psn_no=f"P{number}",
        psn_name=NAME,
        certificate=person_pb2.PersonCertificate(
            psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD, certno=identity_number(ADULT, number)
        ),
        brdy=ADULT.isoformat() if good else "1985-02-30",
        enrolment=person_pb2.Enrolment(
            insutype=person_pb2.INSURANCE_TYPE_RESIDENT,
            insuplc_admdvs="652701",
            psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
            valid_from="2025-01-01",
        ),
    )


def message(*rows: person_pb2.InsuredRow, batch_id: str = "b1", **more: Any) -> person_pb2.ImportInsuredRequest:
    return person_pb2.ImportInsuredRequest(batch_id=batch_id, rows=rows, **more)


async def send(bench: Bench, *messages: person_pb2.ImportInsuredRequest) -> person_pb2.ImportInsuredResponse:
    async def stream() -> AsyncIterator[person_pb2.ImportInsuredRequest]:
        for one in messages:
            yield one

    call_as_operator()
    return await bench.persons.ImportInsured(stream(), None)


@pytest.fixture
def imports(bench: Bench) -> RegisterImportServicer:
    return RegisterImportServicer(ImportService(bench.work, vault(), bench.clock))


async def test_a_stream_that_is_sent_again_in_other_messages_is_answered_and_not_taken_again(bench: Bench) -> None:
    rows = [row(1), row(2, good=False), row(3), row(4)]
    first = await send(bench, message(*rows[:3]), message(rows[3], last=True))
    again = await send(bench, message(rows[0]), message(*rows[1:], last=True))
    assert (first.changed_count, first.unchanged_count, first.repeated_count, first.next_row) == (3, 0, 0, 5)
    assert (again.received_count, again.changed_count, again.unchanged_count, again.repeated_count) == (4, 0, 3, 4)
    assert list(again.refused) == list(first.refused)
    assert len(bench.repository.outbox.rows) == 3


async def test_a_birth_date_is_that_of_the_identity_number_where_none_is_stated(bench: Bench) -> None:
    stated, left_out, impossible = row(1), row(2), row(3)
    left_out.brdy = impossible.brdy = ""
    impossible.certificate.psn_cert_type = person_pb2.PERSON_CERTIFICATE_TYPE_PASSPORT
    answer = await send(bench, message(stated, left_out, impossible))
    assert [(one.row_number, one.description) for one in answer.refused] == [
        (3, "brdy is required: numbers of this type carry no birth date")
    ]
    assert {one.brdy for one in bench.repository.persons.values()} == {ADULT}
    again = await send(bench, message(row(1), row(2), batch_id="b2"))
    assert (again.changed_count, again.unchanged_count) == (0, 2)


async def test_a_stream_goes_on_where_the_one_before_ended(bench: Bench) -> None:
    await send(bench, message(row(1), row(2)))
    answer = await send(bench, message(row(3), first_row=3), message(row(4), last=True))
    assert (answer.received_count, answer.changed_count, answer.repeated_count, answer.next_row) == (2, 2, 0, 5)


async def test_a_gap_other_rows_or_another_file_are_refused(bench: Bench) -> None:
    await send(bench, message(row(1), row(2), content_sha256=SHA))
    with pytest.raises(ImportGap):
        await send(bench, message(row(4), first_row=4))
    with pytest.raises(ImportChanged):
        await send(bench, message(row(5)))
    with pytest.raises(ImportChanged):
        await send(bench, message(row(3), first_row=3, content_sha256="cd" * 32))


async def test_an_operator_sees_how_far_an_import_is_and_pages_what_was_refused(
    bench: Bench, imports: RegisterImportServicer
) -> None:
    await send(bench, message(row(1), *[row(number, good=False) for number in range(2, 7)], content_sha256=SHA))
    first = await imports.GetImport(register_import_pb2.GetImportRequest(batch_id="b1", page_size=3), None)
    seen = first.register_import
    assert (seen.batch_id, seen.state, seen.next_row, seen.content_sha256) == ("b1", OPEN, 7, SHA)
    assert (seen.changed_count, seen.unchanged_count, seen.refused_count) == (1, 0, 5)
    assert (seen.started_by, seen.started_at.ToDatetime(tzinfo=NOW.tzinfo)) == ("service/operator", NOW)
    token = first.next_page_token
    rest = await imports.GetImport(register_import_pb2.GetImportRequest(batch_id="b1", page_token=token), None)
    assert [one.row_number for one in first.refused] == [2, 3, 4]
    assert [one.row_number for one in rest.refused] == [5, 6]
    assert rest.next_page_token == ""
    with pytest.raises(ImportNotFound):
        await imports.GetImport(register_import_pb2.GetImportRequest(batch_id="b2"), None)


async def test_imports_are_listed_from_the_newest(bench: Bench, imports: RegisterImportServicer) -> None:
    for number in (1, 2, 3):
        await send(bench, message(row(number), batch_id=f"b{number}", last=number == 1))
    first = await imports.ListImports(register_import_pb2.ListImportsRequest(page_size=2), None)
    request = register_import_pb2.ListImportsRequest(page_size=2, page_token=first.next_page_token)
    rest = await imports.ListImports(request, None)
    assert [(one.batch_id, one.state) for one in first.register_imports] == [("b3", OPEN), ("b2", OPEN)]
    assert [(one.batch_id, one.state) for one in rest.register_imports] == [("b1", COMPLETE)]
    assert rest.next_page_token == ""

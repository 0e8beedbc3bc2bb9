"""Batches of the register: what has been taken is not taken again, however it is cut, repeated or interrupted."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.person import Person
from identity.domain.register import RegisterRow, RowRefused
from identity.domain.register_import import Batch, Chunk, ImportChanged, ImportGap, ImportNotFound, RefusedRow, Taken
from identity.memory import MemoryRepository
from identity.service import ImportService
from identity.testing import ADULT, NOW, enrolment, identity_card, load, person, register_row, vault
from kit.clock import FixedClock
from kit.testing import MemoryWork

UNREADABLE = RowRefused("brdy is not a day of the calendar (YYYY-MM-DD)")
SHA = bytes(range(32))


class Office:
    """Imports on a repository in memory."""

    def __init__(self) -> None:
        self.repository = MemoryRepository()
        self.work = MemoryWork(self.repository)
        self.clock = FixedClock(NOW)
        self.imports = ImportService(self.work, vault(), self.clock)

    async def take(self, first_row: int, *rows: RegisterRow | RowRefused, **more: Any) -> Taken:
        chunk = Chunk(more.pop("batch_id", "b1"), first_row, rows, **more)
        return await self.imports.take(await self.imports.prepare(chunk), "test")

    async def load(self, chunks: Iterable[Chunk]) -> list[Taken]:
        async def stream() -> AsyncIterator[Chunk]:
            for chunk in chunks:
                yield chunk

        told: list[Taken] = []
        await self.imports.load(stream(), "test", told.append)
        return told

    @property
    def batch(self) -> Batch:
        return self.repository.kept_batches["b1"]

    @property
    def events(self) -> dict[str, list[object]]:
        told: dict[str, list[object]] = {}
        for row, message in zip(self.repository.outbox.rows, self.repository.outbox.messages, strict=True):
            told.setdefault(row.key, []).append(message)
        return told


@pytest.fixture
def office() -> Office:
    return Office()


def people(count: int) -> list[RegisterRow]:
    return [register_row(f"P{number}", sequence=number) for number in range(1, count + 1)]


async def test_a_chunk_and_the_record_of_it_are_kept_together(office: Office) -> None:
    taken = await office.take(1, register_row(), UNREADABLE, register_row(), content_sha256=SHA)
    assert taken == Taken(4, 1, 1, [RefusedRow(2, str(UNREADABLE))], 0)
    assert office.repository.persons == {"P1": person()}
    assert office.batch == Batch("b1", "test", NOW, NOW, SHA, 4, 1, 1, 1)


async def test_when_the_commit_fails_neither_is_kept(office: Office) -> None:
    chunk = await office.imports.prepare(Chunk("b1", 1, people(2)))
    office.work.fail_next_commit(ConnectionError())
    with pytest.raises(ConnectionError):
        await office.imports.take(chunk, "test")
    assert (office.repository.persons, office.repository.kept_batches, office.events) == ({}, {}, {})


async def test_rows_that_were_taken_are_not_taken_again_and_what_was_refused_is_told_again(office: Office) -> None:
    await office.take(1, register_row(), UNREADABLE)
    changed_since = person(tel="13911112222")
    office.repository.persons["P1"] = changed_since
    taken = await office.take(1, register_row(), UNREADABLE, register_row("P2", sequence=2))
    assert taken == Taken(4, 1, 1, [RefusedRow(2, str(UNREADABLE))], 2)
    assert office.repository.persons["P1"] == changed_since
    assert (office.batch.changed_count, office.batch.refused_count, office.batch.next_row) == (2, 1, 4)


async def test_another_row_under_a_number_that_was_taken_is_refused_by_its_number(office: Office) -> None:
    await office.take(1, *people(3))
    other = [*people(1), register_row("P2", sequence=2, tel=""), *people(4)[2:]]
    with pytest.raises(ImportChanged, match="row 2 ") as refused:
        await office.take(1, *other)
    assert refused.value.metadata == {"row_number": "2"}
    assert (office.batch.next_row, set(office.repository.persons)) == (4, {"P1", "P2", "P3"})


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "李四"},
        {"tel": ""},
        {"card_sn": "Z1"},
        {"brdy": ADULT + timedelta(days=1)},
        {"certificate": identity_card(ADULT, 9)},
        {"certificate": Certificate(CertificateType.OTHER, identity_card().number)},
        {"enrolment": enrolment(arrears=True)},
        {"enrolment": enrolment(valid_to=date(2025, 12, 31))},
        {"enrolment": enrolment(insuplc_admdvs="652702")},
        {"enrolment": enrolment(psn_insu_stas=InsuranceStatus.ENDED)},
    ],
    ids="-".join,
)
async def test_a_row_that_differs_in_anything_is_another_row(office: Office, changed: dict[str, Any]) -> None:
    await office.take(1, register_row())
    with pytest.raises(ImportChanged):
        await office.take(1, register_row(**changed))


async def test_another_file_is_refused_by_its_checksum_also_if_its_rows_are_the_same_so_far(office: Office) -> None:
    await office.take(1, register_row(), content_sha256=SHA)
    with pytest.raises(ImportChanged, match="the file is another"):
        await office.take(2, register_row("P2", sequence=2), content_sha256=bytes(32))
    await office.take(2, register_row("P2", sequence=2), content_sha256=SHA)
    await office.take(3, register_row("P3", sequence=3))
    assert office.batch.next_row == 4


async def test_rows_that_leave_a_gap_are_refused_and_told_where_to_go_on(office: Office) -> None:
    await office.take(1, register_row())
    with pytest.raises(ImportGap) as refused:
        await office.take(3, register_row("P3", sequence=3))
    assert refused.value.metadata == {"next_row": "2"}
    with pytest.raises(ImportGap):
        await office.take(2, register_row(), batch_id="never begun")


async def test_a_complete_batch_takes_no_more_but_repeats_its_answer(office: Office) -> None:
    await office.take(1, *people(2), last=True)
    assert office.batch.complete
    assert (await office.take(1, *people(2), last=True)).repeated_count == 2
    assert (await office.take(1, *people(1))).repeated_count == 1
    assert office.batch.complete
    with pytest.raises(ImportChanged, match="complete with row 2"):
        await office.take(3, register_row("P3", sequence=3))
    with pytest.raises(ImportChanged, match="beyond these"):
        await office.take(1, register_row(), last=True)


async def test_a_file_without_rows_is_a_complete_batch(office: Office) -> None:
    assert await office.take(1, last=True) == Taken(1, 0, 0, [], 0)
    assert (office.batch.complete, office.batch.next_row) == (True, 1)


async def test_what_is_on_record_as_the_row_says_is_unchanged_and_tells_nothing(office: Office) -> None:
    await office.take(1, *people(3))
    taken = await office.take(1, *people(3), batch_id="b2")
    assert (taken.changed_count, taken.unchanged_count) == (0, 3)
    assert {key: len(told) for key, told in office.events.items()} == {"P1": 1, "P2": 1, "P3": 1}


async def test_an_old_file_does_not_undo_what_was_recorded_for_later_days(office: Office) -> None:
    later = enrolment(date(2025, 3, 1), psn_insu_stas=InsuranceStatus.ENDED)
    await office.take(1, register_row(), register_row(enrolment=later))
    taken = await office.take(1, register_row(), batch_id="b2")
    assert (taken.changed_count, taken.unchanged_count) == (0, 1)


async def test_each_row_of_a_person_builds_on_the_one_before_also_if_one_of_them_is_on_record(office: Office) -> None:
    await office.take(1, register_row())
    away = register_row(tel="")
    taken = await office.take(1, register_row(), away, register_row(), away, batch_id="b2")
    assert (taken.changed_count, taken.unchanged_count) == (3, 1)
    assert office.repository.persons["P1"].tel == ""


async def test_a_stream_that_breaks_off_keeps_what_was_taken_and_goes_on(office: Office) -> None:
    def broken() -> Iterable[Chunk]:
        yield Chunk("b1", 1, people(2))
        yield Chunk("b1", 3, people(4)[2:])
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await office.load(broken())
    assert office.batch.next_row == 5
    told = await office.load([Chunk("b1", 5, people(6)[4:], last=True)])
    assert [one.next_row for one in told] == [7]
    assert office.batch.changed_count == 6


async def test_a_refused_chunk_ends_the_stream_after_those_before_it(office: Office) -> None:
    with pytest.raises(ImportGap):
        await office.load([Chunk("b1", 1, people(1)), Chunk("b1", 5, people(6)[4:])])
    assert office.batch.next_row == 2


async def test_refused_rows_are_paged_and_unknown_batches_are_not_found(office: Office) -> None:
    await office.take(1, *[UNREADABLE] * 5)
    batch, refused = await office.imports.get("b1", 3, 2)
    assert (batch.refused_count, [one.row_number for one in refused]) == (5, [3, 4])
    with pytest.raises(ImportNotFound):
        await office.imports.get("b2", 1, 1)


# A register of few persons who take each other's numbers: rows that depend on the rows before them.
entangled = st.lists(
    st.one_of(
        st.just(UNREADABLE),
        st.builds(
            lambda psn, sequence, status, tel: register_row(
                f"P{psn}",
                certificate=identity_card(ADULT, sequence),
                enrolment=enrolment(psn_insu_stas=status),
                tel=tel,
            ),
            st.integers(1, 4),
            st.integers(1, 4),
            st.sampled_from([InsuranceStatus.NORMAL, InsuranceStatus.ENDED]),
            st.sampled_from(["", "12345"]),
        ),
    ),
    max_size=14,
)
cuts = st.lists(st.integers(0, 14), max_size=6)


def chunks_of(rows: Sequence[RegisterRow | RowRefused], cut_at: Iterable[int]) -> list[Chunk]:
    ends = sorted({min(one, len(rows)) for one in cut_at} - {0} | {len(rows)})
    starts = [0, *ends[:-1]]
    return [Chunk("b1", start + 1, rows[start:end]) for start, end in zip(starts, ends, strict=True) if end > start]


def seen(office: Office) -> tuple[dict[str, Person], dict[str, list[object]], object]:
    kept = office.repository.kept_refused.get("b1")
    batch = office.repository.kept_batches.get("b1")
    return office.repository.persons, office.events, (batch, kept or [])


@given(entangled, cuts, st.lists(st.tuples(st.integers(0, 14), cuts), max_size=4))
async def test_any_cut_and_any_repetition_end_in_the_same_register(
    rows: list[RegisterRow | RowRefused], cut_at: list[int], interruptions: list[tuple[int, list[int]]]
) -> None:
    undisturbed, disturbed = Office(), Office()
    if rows:
        await undisturbed.take(1, *rows)
    for stop_after, other_cuts in interruptions:
        await disturbed.load(chunks_of(rows, other_cuts)[:stop_after])
    told = await disturbed.load(chunks_of(rows, cut_at))
    assert seen(disturbed) == seen(undisturbed)
    assert sum(one.changed_count + one.unchanged_count + len(one.refused) for one in told) == len(rows)


@given(st.permutations(people(6)), cuts, st.permutations(people(6)))
async def test_persons_in_any_order_and_under_any_batches_end_in_the_same_register(
    rows: list[RegisterRow], cut_at: list[int], other: list[RegisterRow]
) -> None:
    office = Office()
    for place, chunk in enumerate(chunks_of(rows, cut_at)):
        await office.take(1, *chunk.rows, batch_id=f"b{place}")
    await office.take(1, *other, batch_id="again")
    assert office.repository.persons == {
        one.psn_no: person(one.psn_no, sequence=number) for number, one in enumerate(people(6), 1)
    }
    assert {key: len(told) for key, told in office.events.items()} == {one.psn_no: 1 for one in people(6)}


async def test_the_helper_of_other_tests_takes_each_list_under_a_batch_of_its_own(office: Office) -> None:
    await load(office.imports, [register_row()])
    await load(office.imports, [replace(register_row(), tel="")])
    assert len(office.repository.kept_batches) == 2

"""Contacts, codes and choices in every repository: the fake and PostgreSQL alike, and what only PostgreSQL shows."""

import asyncio
from dataclasses import replace
from datetime import datetime, time, timedelta
from uuid import UUID, uuid4

import pytest
from asyncpg import CheckViolationError, UniqueViolationError

from kit.crypto import DecryptionError
from kit.db import Database, Work
from kit.ids import uuid7
from notify.domain.channels import Channel
from notify.domain.contacts import CODE_LIFETIME, COUNTED_WITHIN, Contact, ContactCode, ContactState
from notify.domain.kinds import Kind
from notify.domain.planning import DEFAULT_QUIET, QuietHours, Recipient, Verified
from notify.domain.preferences import Preference
from notify.main import work
from notify.postgres.contacts import SentCodesKept
from notify.repository import Repository
from notify.repository.contacts import TakenCodes, WaitingCode
from notify.testing import AT, keyring

PHONE, OTHER_PHONE, MAIL = "13800000001", "13800000002", "Zhang@example.com"
DAY = timedelta(days=1)
DEBIT_BY_SMS = Preference(Kind.DEBIT, Channel.SMS, is_wanted=False)


def contact(address: str = PHONE, channel: Channel = Channel.SMS, psn_no: str = "1001", at: datetime = AT) -> Contact:
    return Contact(uuid7(), psn_no, channel, address, ContactState.UNVERIFIED, at)


def verified(address: str = PHONE, channel: Channel = Channel.SMS, psn_no: str = "1001") -> Contact:
    return replace(contact(address, channel, psn_no), state=ContactState.VERIFIED, verified_at=AT)


def code(of: Contact, at: datetime = AT) -> ContactCode:
    return ContactCode(uuid7(), of.contact_id, of.psn_no, b"i" * 32, at, at + CODE_LIFETIME)


async def kept(backend: Work[Repository], *contacts: Contact) -> None:
    async with backend() as repository:
        await repository.save_contacts(contacts)


async def own(backend: Work[Repository], psn_no: str = "1001") -> list[Contact]:
    async with backend() as repository:
        return await repository.contacts_of(psn_no)


async def made(backend: Work[Repository], of: Contact, text: str = "123456", at: datetime = AT) -> ContactCode:
    """A code of a contact that is kept for it."""
    new = code(of, at)
    async with backend() as repository:
        await repository.save_contacts([of])
        await repository.add_code(new, of, text)
    return new


async def taken(backend: Work[Repository], limit: int = 10) -> list[WaitingCode]:
    async with backend() as repository:
        return [*(await repository.take_codes(limit)).codes]


async def person(backend: Work[Repository], psn_no: str = "1001") -> Recipient | None:
    async with backend() as repository:
        return (await repository.people([psn_no])).get(psn_no)


async def test_contacts_come_back_as_they_were_oldest_first(backend: Work[Repository]) -> None:
    new, old = contact(MAIL, Channel.EMAIL, at=AT + DAY), verified()
    await kept(backend, new, old, contact(psn_no="1002"))
    assert await own(backend) == [old, new]
    assert await own(backend, "1003") == []


async def test_a_contact_moves_on_and_leaves_when_it_is_removed(backend: Work[Repository]) -> None:
    first = contact()
    await kept(backend, first)
    after = replace(first, state=ContactState.VERIFIED, verified_at=AT)
    await kept(backend, after)
    assert await own(backend) == [after]
    await kept(backend, after.removed())
    assert await own(backend) == []


async def test_one_takes_the_place_of_the_other_in_whichever_order_they_are_kept(backend: Work[Repository]) -> None:
    before, waiting = verified(), contact(OTHER_PHONE)
    await kept(backend, before, waiting)
    after = replace(waiting, state=ContactState.VERIFIED, verified_at=AT)
    await kept(backend, after, before.removed())
    assert await own(backend) == [after]


async def test_only_a_verified_contact_has_an_address_to_write_to(backend: Work[Repository]) -> None:
    good, waiting, gone = verified(), contact(OTHER_PHONE), verified(MAIL, Channel.EMAIL)
    await kept(backend, good, waiting, gone)
    await kept(backend, gone.removed())
    async with backend() as repository:
        found = await repository.addresses([good.contact_id, waiting.contact_id, gone.contact_id, uuid4()])
        assert found == {good.contact_id: PHONE}
        assert await repository.addresses([]) == {}


async def test_a_code_waits_once_with_the_address_and_the_language_of_the_person(backend: Work[Repository]) -> None:
    new = await made(backend, contact(MAIL, Channel.EMAIL))
    async with backend() as repository:
        await repository.save_settings("1001", "en", None)
    assert await taken(backend) == [
        WaitingCode(new.code_id, "1001", Channel.EMAIL, MAIL, "123456", new.expires_at, "en")
    ]
    assert await taken(backend) == []


async def test_who_never_chose_a_language_has_a_code_in_chinese(backend: Work[Repository]) -> None:
    await made(backend, contact())
    assert [one.language for one in await taken(backend)] == ["zh-CN"]


async def test_codes_are_taken_so_many_at_a_time_oldest_first(backend: Work[Repository]) -> None:
    ids = [(await made(backend, contact(psn_no=f"{number}"))).code_id for number in range(5)]
    assert [one.code_id for one in await taken(backend, 3)] == ids[:3]
    assert [one.code_id for one in await taken(backend, 3)] == ids[3:]


async def test_a_newer_code_takes_the_place_of_the_one_before(backend: Work[Repository]) -> None:
    first = await made(backend, of := contact(), "111111")
    second = await made(backend, of, "222222")
    assert [one.code for one in await taken(backend)] == ["222222"]
    async with backend() as repository:
        assert await repository.newest_code(of.contact_id) == second
        assert await repository.newest_code(uuid4()) is None
    assert first.is_open


async def test_a_code_that_is_given_back_waits_again_unless_a_newer_one_took_its_place(
    backend: Work[Repository],
) -> None:
    await made(backend, of := contact(), "111111")
    (first,) = await taken(backend)
    async with backend() as repository:
        await repository.give_back_code(first)
        assert await repository.take_codes(10, [Channel.SMS]) == TakenCodes(())
        assert await repository.take_codes(10, [Channel.EMAIL]) == TakenCodes((first,))
    await made(backend, of, "222222")
    async with backend() as repository:
        await repository.give_back_code(first)
    assert [one.code for one in await taken(backend)] == ["222222"]


async def test_a_code_to_a_contact_that_was_removed_is_not_sent(backend: Work[Repository]) -> None:
    of = contact()
    await made(backend, of)
    await kept(backend, of.removed())
    assert await taken(backend) == []


async def test_tries_and_use_of_a_code_are_kept(backend: Work[Repository]) -> None:
    new = await made(backend, contact())
    after = replace(new, wrong_tries=3, is_open=False)
    async with backend() as repository:
        await repository.save_code(after)
        assert await repository.newest_code(new.contact_id) == after


async def test_a_used_code_stays_the_newest_so_that_none_before_it_counts(backend: Work[Repository]) -> None:
    of = contact()
    await made(backend, of)
    second = replace(await made(backend, of), is_open=False)
    async with backend() as repository:
        await repository.save_code(second)
        assert await repository.newest_code(of.contact_id) == second


async def test_codes_are_counted_for_the_person_and_for_the_address_whoever_asked(backend: Work[Repository]) -> None:
    await made(backend, of := contact(MAIL, Channel.EMAIL))
    await made(backend, of, at=AT + timedelta(hours=1))
    await made(backend, contact(MAIL.upper(), Channel.EMAIL, "1002"), at=AT + timedelta(hours=2))
    await made(backend, contact(), at=AT + timedelta(hours=3))
    async with backend() as repository:
        sent = await repository.codes_sent_to("1001", MAIL, AT, COUNTED_WITHIN)
        assert sorted(sent.to_person) == [AT + timedelta(hours=hours) for hours in (0, 1, 3)]
        assert sorted(sent.to_address) == [AT + timedelta(hours=hours) for hours in (0, 1, 2)]
        nobody = await repository.codes_sent_to("1009", OTHER_PHONE, AT, COUNTED_WITHIN)
        assert (nobody.to_person, nobody.to_address) == ((), ())


@pytest.mark.parametrize("away", [COUNTED_WITHIN, -COUNTED_WITHIN])
async def test_codes_that_are_a_day_away_count_no_longer(backend: Work[Repository], away: timedelta) -> None:
    await made(backend, contact())
    async with backend() as repository:
        assert (await repository.codes_sent_to("1001", PHONE, AT + away, COUNTED_WITHIN)).to_person == ()
        nearer = AT + away * 0.99
        assert (await repository.codes_sent_to("1001", PHONE, nearer, COUNTED_WITHIN)).to_address == (AT,)


async def test_two_codes_have_two_hashes_and_the_same_code_of_another_id_has_another(backend: Work[Repository]) -> None:
    first, second = uuid4(), uuid4()
    async with backend() as repository:
        assert repository.code_index(first, "123456") == repository.code_index(first, "123456")
        indexes = {repository.code_index(one, text) for one in (first, second) for text in ("123456", "123457")}
    assert len(indexes) == 4


async def test_who_never_said_anything_is_not_among_the_people(backend: Work[Repository]) -> None:
    await kept(backend, contact())
    assert await person(backend) is None
    async with backend() as repository:
        assert await repository.people([]) == {}


async def test_people_have_their_verified_contacts_and_what_they_chose_in_one_read(backend: Work[Repository]) -> None:
    phone, mail = verified(), verified(MAIL, Channel.EMAIL)
    await kept(backend, phone, mail, contact(OTHER_PHONE), verified(psn_no="1003"))
    async with backend() as repository:
        await repository.save_preference("1001", DEBIT_BY_SMS)
        await repository.save_preference("1001", Preference(Kind.LIMIT, Channel.INBOX, is_wanted=False))
        await repository.save_settings("1001", "en", QuietHours(time(13), time(14, 30)))
        await repository.save_settings("1002", "zh-CN", None)
        found = await repository.people(["1001", "1002", "1004"])
    assert found == {
        "1001": Recipient(
            "1001",
            "en",
            QuietHours(time(13), time(14, 30)),
            {Channel.SMS: Verified(phone.contact_id, AT), Channel.EMAIL: Verified(mail.contact_id, AT)},
            frozenset({(Kind.DEBIT, Channel.SMS), (Kind.LIMIT, Channel.INBOX)}),
        ),
        "1002": Recipient("1002", quiet=None),
    }


async def test_who_only_has_a_contact_reads_chinese_and_sleeps_at_night(backend: Work[Repository]) -> None:
    await kept(backend, phone := verified())
    assert await person(backend) == Recipient(
        "1001", "zh-CN", DEFAULT_QUIET, {Channel.SMS: Verified(phone.contact_id, AT)}
    )


async def test_a_choice_is_replaced_by_the_next_one(backend: Work[Repository]) -> None:
    async with backend() as repository:
        await repository.save_preference("1001", DEBIT_BY_SMS)
        await repository.save_preference("1001", replace(DEBIT_BY_SMS, is_wanted=True))
        await repository.save_settings("1001", "en", None)
        await repository.save_settings("1001", "zh-CN", DEFAULT_QUIET)
    assert await person(backend) == Recipient("1001")


async def test_neither_address_nor_code_is_readable_in_the_tables(database: Database) -> None:
    backend = work(database, keyring())
    await made(backend, contact(MAIL, Channel.EMAIL), "739154")
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT * FROM contact_point, contact_code")
    values = [value for row in rows for value in row.values()]
    shown = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
    assert rows
    assert b"example" not in shown.lower()
    assert b"739154" not in shown


async def test_of_a_removed_contact_the_row_has_no_address(database: Database) -> None:
    backend = work(database, keyring())
    await kept(backend, of := verified())
    await kept(backend, of.removed())
    async with database.transaction() as transaction:
        row = await transaction.raw.fetchrow("SELECT state, address_ct, address_index FROM contact_point")
    assert row is not None
    assert tuple(row) == ("REMOVED", None, None)


async def test_an_address_that_was_moved_to_another_person_does_not_open(database: Database) -> None:
    backend = work(database, keyring())
    await kept(backend, verified())
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE contact_point SET psn_no = '1002'")
    with pytest.raises(DecryptionError):
        await own(backend, "1002")


async def test_the_table_takes_one_verified_and_one_waiting_contact_of_a_channel(database: Database) -> None:
    backend = work(database, keyring())
    await kept(backend, verified(), contact(OTHER_PHONE))
    for second in (verified("13800000003"), contact("13800000004")):
        with pytest.raises(UniqueViolationError):
            await kept(backend, second)


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.CREDIT, Kind.LIMIT}, key=str))
async def test_the_table_refuses_to_keep_a_required_notice_out_of_the_inbox(database: Database, kind: Kind) -> None:
    backend = work(database, keyring())
    with pytest.raises(CheckViolationError):
        async with backend() as repository:
            await repository.save_preference("1001", Preference(kind, Channel.INBOX, is_wanted=False))


async def test_two_replicas_never_take_the_same_code(database: Database) -> None:
    backend = work(database, keyring())
    ids = [(await made(backend, contact(psn_no=f"{number}"))).code_id for number in range(6)]
    async with backend() as first, backend() as second:
        one, other = await first.take_codes(3), await second.take_codes(10)
        found: list[UUID] = [code.code_id for code in (*one.codes, *other.codes)]
    assert sorted(found) == sorted(ids)


async def test_two_who_change_one_persons_contacts_wait_for_each_other(database: Database) -> None:
    backend = work(database, keyring())
    order: list[str] = []

    async def changes(name: str, first_in: asyncio.Event, psn_no: str, address: str) -> None:
        async with backend() as repository:
            await repository.lock_contacts(psn_no, address)
            order.append(f"{name} in")
            first_in.set()
            await repository.contacts_of(psn_no)
            order.append(f"{name} out")

    async with backend() as repository:
        await repository.lock_contacts("1001", PHONE)
        entered = [asyncio.Event() for _ in range(3)]
        tasks = [
            asyncio.create_task(changes("same person", entered[0], "1001", OTHER_PHONE)),
            asyncio.create_task(changes("same address", entered[1], "1002", PHONE)),
        ]
        await changes("other", entered[2], "1003", "13800000003")
        assert order == ["other in", "other out"]
    await asyncio.gather(*tasks)
    assert len(order) == 6


async def test_codes_are_forgotten_when_they_are_counted_no_longer(database: Database) -> None:
    backend, keeper = work(database, keyring()), SentCodesKept(database)
    for number in range(3):
        await made(backend, contact(psn_no=f"{number}"))
    assert await keeper.forget(10) == 0
    assert await keeper.forget(2, timedelta()) == 2
    assert await keeper.forget(10, timedelta()) == 1


async def test_a_code_that_does_not_open_is_wiped_and_holds_up_no_other(database: Database) -> None:
    backend = work(database, keyring())
    broken, good = await made(backend, contact(psn_no="1001")), await made(backend, contact(psn_no="1002"))
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "UPDATE contact_code SET code_ct = code_ct || 'x'::bytea WHERE code_id = $1", broken.code_id
        )
    async with backend() as repository:
        taken = await repository.take_codes(10)
    assert ([one.code_id for one in taken.codes], taken.unopened) == ([good.code_id], (broken.code_id,))
    async with backend() as repository:
        assert await repository.take_codes(10) == TakenCodes(())

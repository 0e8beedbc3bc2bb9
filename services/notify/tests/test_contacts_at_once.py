"""Many at once on PostgreSQL: bounds hold, tries are all counted, and one contact is left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from kit.clock import FixedClock
from kit.db import Database
from kit.testing import patient_database
from notify.contacts.service import ContactService, CountedCodeWrong
from notify.domain.channels import Channel
from notify.domain.contacts import MOST_TRIES, CodeBounds, CodeInvalid, ContactState, TooManyCodes
from notify.main import work
from notify.testing import AT, keyring

pytestmark = pytest.mark.stack
T = TypeVar("T")
PHONE = "13800000001"


@pytest.fixture
async def patient(service_database: Callable[[str], str]) -> AsyncIterator[Database]:
    opened = patient_database(service_database("notify"))
    yield opened
    await opened.close()


def service(database: Database, bounds: CodeBounds | None = None) -> ContactService:
    return ContactService(work(database, keyring()), FixedClock(AT), bounds or CodeBounds())


async def at_once(*calls: Awaitable[T]) -> tuple[list[T], list[type[BaseException]]]:
    """What was answered, and how the rest was refused."""
    answers: Sequence[T | BaseException] = await asyncio.gather(*calls, return_exceptions=True)
    refused = [type(one) for one in answers if isinstance(one, BaseException)]
    return [one for one in answers if not isinstance(one, BaseException)], refused


async def code_of(database: Database) -> str:
    async with work(database, keyring())() as repository:
        return (await repository.take_codes(100)).codes[-1].code


async def test_an_address_gets_so_many_codes_however_many_ask_at_once(patient: Database) -> None:
    contacts = service(patient, CodeBounds(to_person=10, to_address=4))
    asked = [contacts.add(f"person{number}", Channel.SMS, PHONE) for number in range(12)]
    answered, refused = await at_once(*asked)
    assert len(answered) == 4
    assert refused == [TooManyCodes] * 8


async def test_a_person_gets_so_many_codes_however_many_they_ask_for_at_once(patient: Database) -> None:
    contacts = service(patient, CodeBounds(to_person=3, to_address=10))
    asked = [contacts.add("1001", Channel.SMS, f"138000000{number:02}") for number in range(12)]
    answered, refused = await at_once(*asked)
    assert len(answered) == 3
    assert refused == [TooManyCodes] * 9
    assert len(await contacts.listed("1001")) == 1


async def test_guesses_at_once_are_all_counted(patient: Database) -> None:
    contacts = service(patient)
    contact_id = (await contacts.add("1001", Channel.SMS, PHONE)).contact.contact_id
    code = int(await code_of(patient))
    guesses = [f"{(code + number) % 1_000_000:06}" for number in range(1, 13)]
    answered, refused = await at_once(*(contacts.verify("1001", contact_id, guess) for guess in guesses))
    assert answered == []
    assert (refused.count(CountedCodeWrong), refused.count(CodeInvalid)) == (MOST_TRIES, 12 - MOST_TRIES)


async def test_the_right_code_shown_many_times_at_once_verifies_once(patient: Database) -> None:
    contacts = service(patient)
    contact_id = (await contacts.add("1001", Channel.SMS, PHONE)).contact.contact_id
    code = await code_of(patient)
    answered, refused = await at_once(*(contacts.verify("1001", contact_id, code) for _ in range(6)))
    assert [one.state for one in answered] == [ContactState.VERIFIED]
    assert refused == [CodeInvalid] * 5
    assert [one.state for one in await contacts.listed("1001")] == [ContactState.VERIFIED]


async def test_whoever_adds_verifies_and_removes_at_once_keeps_one_of_each(patient: Database) -> None:
    contacts = service(patient, CodeBounds(to_person=1000, to_address=1000))
    first = (await contacts.add("1001", Channel.SMS, PHONE)).contact.contact_id
    code = await code_of(patient)
    adding = [contacts.add("1001", Channel.SMS, f"138000000{number:02}") for number in range(8)]
    await at_once(contacts.verify("1001", first, code), contacts.remove("1001", first), *adding)
    left = [one.state for one in await contacts.listed("1001")]
    assert len(left) == len(set(left))

"""What goes out besides the inbox: queued with the message, for whom it is wanted, in their language, once."""

from datetime import datetime, timedelta

import pytest

from kit.clock import FixedClock
from kit.db import Work
from kit.ids import uuid7
from kit.testing import MemoryWork
from notify.channels.log import LogChannel
from notify.dispatch import Dispatch, Elsewhere
from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactState
from notify.domain.deliveries import Delivery, Payload, State
from notify.domain.kinds import Kind
from notify.domain.preferences import Preference
from notify.memory import MemoryRepository
from notify.rendering import Texts
from notify.repository import Repository
from notify.repository.deliveries import DeliveryFilter
from notify.service import MessageService
from notify.testing import AT, TEXTS, credited

NIGHT = AT + timedelta(hours=13)
"""23:00 in Shanghai."""
MORNING = AT + timedelta(hours=22)
"""08:00 there."""


class Carriers:
    """Remembers who was woken."""

    def __init__(self, *usable: Channel) -> None:
        self.usable = frozenset(usable or {Channel.SMS, Channel.EMAIL})
        self.woken: list[set[Channel]] = []

    def wake(self, channels: object) -> None:
        self.woken.append(set(channels))  # type: ignore[call-overload]


class World:
    def __init__(self, backend: Work[Repository], carriers: Carriers | Elsewhere | None = None) -> None:
        self.backend = backend
        self.carriers = carriers if isinstance(carriers, Carriers) else Carriers()
        self.clock = FixedClock(AT)
        dispatch = Dispatch(TEXTS, self.clock, carriers or self.carriers)
        self.service = MessageService(backend, LogChannel(), TEXTS, dispatch)
        self.renamed = MessageService(backend, LogChannel(), TEXTS, dispatch, consumer="notify-anew")
        """The same after the consumer group got another name."""

    async def known(self, channel: Channel = Channel.SMS, address: str = "13800000001", at: datetime = AT) -> Contact:
        contact = Contact(uuid7(), "1001", channel, address, ContactState.VERIFIED, at, at)
        async with self.backend() as repository:
            await repository.save_contacts([contact])
        return contact

    async def prefers(self, channel: Channel, *, is_wanted: bool = False) -> None:
        async with self.backend() as repository:
            await repository.save_preference("1001", Preference(Kind.CREDIT, channel, is_wanted=is_wanted))

    async def queued(self) -> list[Delivery]:
        async with self.backend() as repository:
            return await repository.list_deliveries(DeliveryFilter(), 100)


@pytest.fixture
def world(backend: Work[Repository]) -> World:
    return World(backend)


async def test_who_has_no_contact_has_the_inbox_alone(world: World) -> None:
    await world.service.tell([credited()])
    assert await world.queued() == []
    assert world.carriers.woken == []


async def test_a_verified_contact_gets_what_the_inbox_keeps(world: World) -> None:
    contact = await world.known()
    await world.service.tell([told := credited(), credited("1002")])
    (queued,) = await world.queued()
    (kept,) = (await world.service.read("1001", 10)).messages
    assert (queued.event_id, queued.psn_no, queued.contact_id) == (told.event_id, "1001", contact.contact_id)
    assert (queued.channel, queued.kind, queued.state, queued.attempts) == (Channel.SMS, Kind.CREDIT, State.QUEUED, 0)
    assert (queued.next_attempt_at, queued.created_at, queued.message_id) == (AT, AT, kept.message.message_id)
    assert (kept.message.kind, kept.message.language) == (Kind.CREDIT, "zh-CN")
    assert world.carriers.woken == [{Channel.SMS}]


async def test_an_event_that_comes_again_queues_nothing(world: World) -> None:
    await world.known()
    told = credited()
    await world.service.tell([told, told])
    await world.service.tell([told])
    assert len(await world.queued()) == 1


async def test_under_another_name_of_the_group_nobody_is_told_twice(world: World) -> None:
    await world.known()
    await world.service.tell([told := credited()])
    await world.renamed.tell([told])
    assert len(await world.queued()) == 1
    assert len((await world.service.read("1001", 10)).messages) == 1


async def test_what_is_read_anew_pours_nothing_old_on_a_contact_that_is_new(world: World) -> None:
    await world.service.tell([old := credited()])
    await world.known(at=AT + timedelta(seconds=1))
    await world.renamed.tell([old, new := credited(minutes=1)])
    assert [one.event_id for one in await world.queued()] == [new.event_id]
    # Nor on one that was there before, of what the inbox has had.
    await world.known(Channel.EMAIL, "zhang@example.com", AT - timedelta(days=1))
    await world.renamed.tell([old])
    assert len(await world.queued()) == 1


async def test_what_a_person_switched_off_is_not_queued(world: World) -> None:
    await world.known()
    await world.known(Channel.EMAIL, "zhang@example.com")
    await world.prefers(Channel.SMS)
    await world.service.tell([credited()])
    assert [one.channel for one in await world.queued()] == [Channel.EMAIL]


async def test_what_the_inbox_does_not_keep_goes_out_without_a_message(world: World) -> None:
    await world.known()
    await world.prefers(Channel.INBOX)
    await world.service.tell([credited()])
    assert [one.message_id for one in await world.queued()] == [None]
    assert (await world.service.read("1001", 10)).messages == ()


async def test_at_night_a_telephone_waits_for_the_morning(world: World) -> None:
    await world.known()
    world.clock.set(NIGHT)
    await world.service.tell([credited()])
    (queued,) = await world.queued()
    assert MORNING <= queued.next_attempt_at < MORNING + timedelta(minutes=5)


async def test_words_are_in_the_language_of_the_person(world: World) -> None:
    await world.known(Channel.EMAIL, "zhang@example.com")
    async with world.backend() as repository:
        await repository.save_settings("1001", "en", None)
    await world.service.tell([credited()])
    (kept,) = (await world.service.read("1001", 10)).messages
    assert kept.message.language == "en"
    assert not any("\u4e00" <= sign <= "\u9fff" for sign in kept.message.notice.title + kept.message.notice.body)
    async with world.backend() as repository:
        (claimed,) = await repository.claim_deliveries(Channel.EMAIL, AT, 10, 60.0)
    assert isinstance(claimed.payload, Payload)
    assert claimed.payload.language == "en"
    assert claimed.payload.body == kept.message.notice.body


async def test_where_a_gateway_has_no_template_of_a_language_it_is_told_in_chinese_and_the_others_are_not() -> None:
    world = World(MemoryWork(MemoryRepository()))
    texts = Texts(gateways={Channel.SMS: {"credit": {"zh-CN": "SMS_1"}}})
    dispatch = Dispatch(texts, world.clock, world.carriers)
    await world.known()
    await world.known(Channel.EMAIL, "zhang@example.com")
    async with world.backend() as repository:
        await repository.save_settings("1001", "en", None)
    await MessageService(world.backend, LogChannel(), texts, dispatch).tell([credited(amount_fen=12_345)])
    async with world.backend() as repository:
        (by_phone,) = await repository.claim_deliveries(Channel.SMS, AT, 10, 60.0)
        (by_mail,) = await repository.claim_deliveries(Channel.EMAIL, AT, 10, 60.0)
    assert isinstance(by_phone.payload, Payload)
    assert isinstance(by_mail.payload, Payload)
    assert (by_phone.payload.language, by_phone.payload.params["at"]) == ("zh-CN", "2025年6月10日10:00")
    assert (by_mail.payload.language, by_mail.payload.body.isascii()) == ("en", False)  # the sign of the yuan
    assert (await world.service.read("1001", 10)).messages[0].message.language == "en"


async def test_a_telephone_gets_the_short_form_with_the_parameters_of_a_template(world: World) -> None:
    await world.known()
    await world.service.tell([credited(amount_fen=12_345)])
    async with world.backend() as repository:
        (claimed,) = await repository.claim_deliveries(Channel.SMS, AT, 10, 60.0)
    assert isinstance(claimed.payload, Payload)
    assert claimed.payload.template == "credit"
    assert "¥123.45" in claimed.payload.params.values()


async def test_a_channel_without_an_adapter_is_not_queued_for(backend: Work[Repository]) -> None:
    world = World(backend, Carriers(Channel.EMAIL))
    await world.known()
    await world.service.tell([credited()])
    assert await world.queued() == []


async def test_a_command_queues_for_every_channel_and_leaves_the_carrying_to_others(backend: Work[Repository]) -> None:
    world = World(backend, Elsewhere())
    await world.known()
    await world.known(Channel.FEISHU, "token")
    await world.service.tell([credited()])
    assert {one.channel for one in await world.queued()} == {Channel.SMS, Channel.FEISHU}


async def test_nothing_is_queued_that_was_not_kept() -> None:
    backend: MemoryWork[MemoryRepository] = MemoryWork(MemoryRepository())
    world = World(backend)
    await world.known()
    backend.fail_next_commit(ConnectionError())
    with pytest.raises(ConnectionError):
        await world.service.tell([told := credited()])
    assert await world.queued() == []
    assert world.carriers.woken == []
    await world.service.tell([told])
    assert len(await world.queued()) == 1

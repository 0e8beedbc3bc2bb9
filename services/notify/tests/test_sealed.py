"""All that notify's database holds sealed moves to a new key, and opens by that alone."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from kit.db import Database
from kit.ids import uuid7
from kit.reencrypt import Pace, reencrypt
from kit.testing_sealed import alone, empty_columns, sealed_in, stated_by, succeeding
from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactCode, ContactState
from notify.domain.webhooks import Secrets
from notify.main import work
from notify.sealed import TABLES
from notify.testing import AT, keyring, message
from notify.testing_deliveries import PAYLOAD, World
from notify.testing_webhooks import claimed, delivery, event, kept, queued, webhook
from notify.webhooks.parts import webhook_work


async def test_everything_opens_by_the_new_key_alone(database: Database) -> None:
    assert await sealed_in(database) == stated_by(TABLES)
    before = work(database, keyring())
    world, told = World(before), message()
    await world.known()
    await world.queue(2)
    waiting = Contact(uuid7(), "1001", Channel.EMAIL, "a@example.org", ContactState.UNVERIFIED, AT, None)
    async with before() as repository:
        await repository.add_messages([told])
        await repository.save_contacts([waiting])
        code_id = uuid4()
        index = repository.code_index(code_id, "123456")
        code = ContactCode(code_id, waiting.contact_id, "1001", index, AT, AT + timedelta(minutes=5), 0, is_open=True)
        await repository.add_code(code, waiting, "123456")
    hook = webhook()
    hook = replace(hook, secrets=Secrets("whsec-new", "whsec-old", AT + timedelta(hours=1)))
    await kept(webhook_work(database, keyring()), hook)
    await queued(webhook_work(database, keyring()), delivery(hook, event(body=b'{"told":1}')))
    assert await empty_columns(database, TABLES) == {"request.answer_ct"}

    ring = succeeding(keyring())
    await reencrypt(database, TABLES, ring, Pace())
    async with work(database, alone(ring))() as repository:
        (shown,) = await repository.newest_messages("1001", 10)
        assert shown.message.notice == told.notice
        assert {one.address for one in await repository.contacts_of("1001")} == {"13800000001", "a@example.org"}
        taken = await repository.take_codes(10)
        assert [one.code for one in taken.codes] == ["123456"]
        sms = await repository.claim_deliveries(Channel.SMS, AT, 10, 60)
        assert [one.payload for one in sms] == [PAYLOAD, PAYLOAD]
    (one,) = await claimed(webhook_work(database, alone(ring)))
    assert (one.webhook.secrets, one.webhook.url, one.body) == (hook.secrets, hook.url, b'{"told":1}')

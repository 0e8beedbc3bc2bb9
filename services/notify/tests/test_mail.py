"""E-mail on a real SMTP server: what is sent, on which connections, and what each failure means."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mail_servers import CUT, SLOW, MailServer, receiving

from kit.clock import Clock, SystemClock
from kit.testing_tls import Authority
from notify.channels import mail
from notify.channels.guarded import Guarded
from notify.channels.mail import MailAdapter
from notify.channels.mail import MailServer as Server
from notify.channels.policy import Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.domain.addresses import normalised
from notify.domain.channels import Channel

ADDRESS = "zhang.san@example.cn"
LABELS = st.text("abcxyzABC019-", min_size=1, max_size=63)
LOGIN = ("notify", "s3cret")


def outgoing(address: str = ADDRESS, title: str = "共济账户支出提醒", body: str = "您的账户支出¥12.30。") -> Outgoing:
    return Outgoing(uuid4(), Channel.EMAIL, "debit", "zh-CN", address, title, body, {})


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("mail-ca")


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    certificate, key = authority.issue("mail", [], ["127.0.0.1"])
    for name, content in (("mail.crt", certificate), ("mail.key", key), ("ca.crt", authority.pem)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "mail.crt", tmp_path / "mail.key")
    return context


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with receiving(MailServer()) as served:
        yield served


@pytest.fixture
async def adapters() -> AsyncIterator[Callable[..., MailAdapter]]:
    made: list[MailAdapter] = []

    def adapter(
        served: MailServer, timeout_seconds: float = 10.0, clock: Clock | None = None, **stated: Any
    ) -> MailAdapter:
        usual = {"security": "none", "sender": "家庭共济 <no-reply@gongji.test>"}
        where = Server("127.0.0.1", served.port, **(usual | stated))
        made.append(MailAdapter(where, timeout_seconds, clock or SystemClock()))
        return made[-1]

    yield adapter
    for one in made:
        await one.close()


Adapters = Callable[..., MailAdapter]


async def refusal(adapter: MailAdapter, sent: Outgoing | None = None) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as refused:
        await adapter.send(sent or outgoing())
    for secret in (ADDRESS, "支出", "127.0.0.1", *LOGIN):
        assert secret not in f"{refused.value!r} {refused.value.why}"
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value


async def test_a_mail_says_what_the_notice_says(server: MailServer, adapters: Adapters) -> None:
    sent = outgoing()
    message_id = f"<{sent.delivery_id}@gongji.test>"
    assert await adapters(server).send(sent) == Accepted(message_id, awaits_receipt=False)
    (mail_,) = server.mails
    assert server.envelopes == [("no-reply@gongji.test", [ADDRESS])]
    assert (mail_["From"], mail_["To"], mail_["Subject"]) == ("家庭共济 <no-reply@gongji.test>", ADDRESS, sent.title)
    assert (mail_["Message-ID"], mail_["Auto-Submitted"], mail_["Content-Language"]) == (
        message_id,
        "auto-generated",
        "zh-CN",
    )
    assert mail_.get_content().strip() == sent.body


async def test_the_same_delivery_has_the_same_message_id(server: MailServer, adapters: Adapters) -> None:
    sent, adapter = outgoing(), adapters(server)
    server.at_data.append(CUT)
    await refusal(adapter, sent)
    for _ in range(2):
        await adapter.send(sent)
    assert len({mail_["Message-ID"] for mail_ in server.mails}) == 1


async def test_one_connection_takes_many_mails(server: MailServer, adapters: Adapters) -> None:
    adapter = adapters(server)
    await asyncio.gather(*(adapter.send(outgoing()) for _ in range(5)))
    assert (len(server.mails), server.connections) == (5, 1)


async def test_a_connection_that_was_idle_is_asked_before_a_mail_is_put_on_it(
    server: MailServer, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "IDLE_SECONDS", 0.0)
    adapter = adapters(server)
    for _ in range(2):
        await adapter.send(outgoing())
    assert (server.commands, server.connections) == (["NOOP"], 1)
    server.cut_all()
    await adapter.send(outgoing())
    assert (len(server.mails), server.connections) == (3, 2)


@pytest.mark.parametrize("answer", ["550 no such user", "553 bad name", "521 takes no mail"])
async def test_an_address_that_is_refused_for_good_is_final(
    server: MailServer, adapters: Adapters, answer: str
) -> None:
    server.at_rcpt.append(answer)
    refused = await refusal(adapters(server))
    assert (refused.is_final, refused.why) == (True, f"the mail server refuses the address with {answer[:3]}")


async def test_an_address_that_is_refused_for_now_is_tried_again_and_says_nothing_of_the_server(
    server: MailServer, adapters: Adapters
) -> None:
    server.at_rcpt.append(f"452 {ADDRESS} is full")
    adapter = adapters(server)
    assert isinstance(await refusal(adapter), AddressBusyError)
    await adapter.send(outgoing())
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "is_final"), [("554 looks like spam", True), ("451 later", False), ("421 bye", False)]
)
async def test_a_mail_may_be_refused_for_good_or_for_now(
    server: MailServer,
    adapters: Adapters,
    answer: str,
    is_final: bool,  # noqa: FBT001 - the case
) -> None:
    server.at_data.append(answer)
    adapter = adapters(server)
    refused = await refusal(adapter)
    assert (refused.is_final, refused.why) == (is_final, f"the mail server refuses the message with {answer[:3]}")
    await adapter.send(outgoing())
    assert len(server.mails) == 1


@pytest.mark.parametrize("where", ["at_rcpt", "at_data"])
async def test_a_server_that_hangs_up_is_called_again(server: MailServer, adapters: Adapters, where: str) -> None:
    getattr(server, where).append(CUT)
    adapter = adapters(server)
    assert not (await refusal(adapter)).is_final
    await adapter.send(outgoing())
    assert (len(server.mails), server.connections) == (1, 2)


async def test_a_slow_server_is_not_waited_for(server: MailServer, adapters: Adapters) -> None:
    server.at_data.append(SLOW)
    guarded = Guarded(Channel.EMAIL, adapters(server), Policy(timeout_seconds=0.2))
    with pytest.raises(UndeliveredError, match="no answer within") as refused:
        await guarded.send(outgoing())
    assert not refused.value.is_final


async def test_a_connection_on_which_a_mail_was_stopped_is_not_used_again(
    server: MailServer, adapters: Adapters
) -> None:
    server.at_data.append(SLOW)
    adapter = adapters(server)
    sending = asyncio.create_task(adapter.send(outgoing()))
    await server.is_stuck.wait()
    sending.cancel()
    await asyncio.wait([sending])
    await adapter.send(outgoing())
    assert (len(server.mails), server.connections) == (1, 2)


async def test_a_server_that_is_not_there_is_tried_again(server: MailServer, adapters: Adapters) -> None:
    adapter = adapters(server)
    await server.stop()
    refused = await refusal(adapter)
    assert (refused.is_final, refused.why) == (False, "no answer of the mail server (SMTPConnectError)")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "zhang",
        "@b.cn",
        "a@",
        "a b@c.cn",
        "a@b.cn\r\nRCPT TO:<c@d.cn>",
        "a@b.cn, c@d.cn",
        "<a@b.cn>",
        "张@b.cn",
        "a@" + "b" * 254,
    ],
)
async def test_what_is_no_address_is_sent_nowhere(server: MailServer, adapters: Adapters, address: str) -> None:
    with pytest.raises(UndeliveredError, match="no e-mail address") as refused:
        await adapters(server).send(outgoing(address))
    assert refused.value.is_final
    assert server.connections == 0


async def test_a_title_cannot_begin_another_header(server: MailServer, adapters: Adapters) -> None:
    await adapters(server).send(outgoing(title="提醒\r\nBcc: spy@example.cn", body="一\r\n.\r\nMAIL FROM:<x@y.cn>"))
    (mail_,) = server.mails
    assert (mail_["Subject"], mail_["Bcc"]) == ("提醒 Bcc: spy@example.cn", None)
    assert "MAIL FROM" in mail_.get_content()
    assert server.envelopes[0][1] == [ADDRESS]


async def test_starttls_and_login_come_before_the_mail(tls: ssl.SSLContext, tmp_path: Path, adapters: Adapters) -> None:
    async with receiving(MailServer(tls, LOGIN)) as server:
        username, password = LOGIN
        adapter = adapters(
            server, security="starttls", username=username, password=password, ca_file=tmp_path / "ca.crt"
        )
        await adapter.send(outgoing())
        await adapter.close()
        assert len(server.mails) == 1


@pytest.mark.parametrize("login", [{}, {"username": LOGIN[0], "password": LOGIN[1]}])
async def test_nothing_is_said_to_a_server_that_does_not_turn_to_tls(
    server: MailServer, adapters: Adapters, login: dict[str, str]
) -> None:
    assert not (await refusal(adapters(server, security="starttls", **login))).is_final
    assert (server.mails, server.envelopes) == ([], [])


async def test_a_server_that_nobody_vouches_for_gets_nothing(tls: ssl.SSLContext, adapters: Adapters) -> None:
    async with receiving(MailServer(tls)) as server:
        assert not (await refusal(adapters(server, security="starttls"))).is_final
        assert server.mails == []


async def test_a_wrong_password_is_ours_to_mend(tls: ssl.SSLContext, tmp_path: Path, adapters: Adapters) -> None:
    async with receiving(MailServer(tls, LOGIN)) as server:
        adapter = adapters(
            server, security="starttls", username=LOGIN[0], password="other", ca_file=tmp_path / "ca.crt"
        )
        refused = await refusal(adapter)
        assert (refused.is_final, refused.why) == (False, "the mail server answered 535 (SMTPAuthenticationError)")
        await adapter.close()


@given(
    name=st.from_regex(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", fullmatch=True), labels=st.lists(LABELS, min_size=1)
)
def test_every_address_that_may_be_a_contact_is_one_that_mail_goes_to(name: str, labels: list[str]) -> None:
    contact = normalised(Channel.EMAIL, f"{name}@{'.'.join(labels)}.cn")
    assert contact is None or mail.ADDRESS.fullmatch(contact)


def test_what_is_printed_of_a_server_shows_no_password() -> None:
    assert LOGIN[1] not in repr(Server("h", 25, "none", "a@b.cn", *LOGIN))

"""A real SMTP server of the tests (aiosmtpd), which answers well or fails as it is told to."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

CUT = "cut"
SLOW = "slow"
TAKEN = "250 OK"


class MailServer:
    """Keeps every mail. `at_rcpt` and `at_data` queue answers, such as `550 no such user`, CUT or SLOW."""

    def __init__(self, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.connections = 0
        self.commands: list[str] = []
        self.at_rcpt: deque[str] = deque()
        self.at_data: deque[str] = deque()
        self.is_stuck = asyncio.Event()
        """Set once something waits for a SLOW answer."""
        self.port = 0
        self._tls = tls
        self._login = login
        self._closing = asyncio.Event()
        self._protocols: list[SMTP] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        self._server = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End with all connections."""
        self._closing.set()
        self.cut_all()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def cut_all(self) -> None:
        """End every connection, as a server does with idle ones."""
        for protocol in self._protocols:
            _cut(protocol)
        self._protocols.clear()

    def _protocol(self) -> SMTP:
        self.connections += 1
        options: dict[str, Any] = {"tls_context": self._tls, "require_starttls": self._tls is not None}
        if self._login is not None:
            options |= {"authenticator": self._authenticated, "auth_required": True}
        protocol = SMTP(self, hostname="mail.test", **options)
        self._protocols.append(protocol)
        return protocol

    def _authenticated(self, *arguments: Any) -> AuthResult:
        given = arguments[-1]
        assert isinstance(given, LoginPassword)
        is_known = (given.login.decode(), given.password.decode()) == self._login
        return AuthResult(success=is_known, handled=False)  # aiosmtpd then answers by itself

    async def handle_NOOP(self, _server: SMTP, _session: Session, _envelope: Envelope, _argument: str) -> str:  # noqa: N802 - aiosmtpd's name
        """See aiosmtpd's handler hooks."""
        self.commands.append("NOOP")
        return TAKEN

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """See aiosmtpd's handler hooks."""
        answer = await self._answer(server, self.at_rcpt)
        if answer == TAKEN:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """See aiosmtpd's handler hooks."""
        answer = await self._answer(server, self.at_data)
        if answer == TAKEN:
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.envelopes.append((str(envelope.mail_from), list(envelope.rcpt_tos)))
        return answer

    async def _answer(self, server: SMTP, queued: deque[str]) -> str:
        answer = queued.popleft() if queued else TAKEN
        if answer == SLOW:
            self.is_stuck.set()
            await self._closing.wait()
        if answer == CUT:
            _cut(server)
        return TAKEN if answer == TAKEN else "451 gone" if answer in {CUT, SLOW} else answer


def _cut(protocol: SMTP) -> None:
    if isinstance(protocol.transport, asyncio.WriteTransport):
        protocol.transport.abort()


@asynccontextmanager
async def receiving(server: MailServer) -> AsyncIterator[MailServer]:
    """The server while the block runs."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

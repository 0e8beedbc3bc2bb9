"""E-mail by SMTP: one connection that is used again and again, encrypted before anything is said on it."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Final, Literal

import aiosmtplib
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from kit.clock import Clock, Elapsed
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError

Security = Literal["starttls", "tls", "none"]
ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
"""What every mail server takes; nothing in it can begin another header or command."""
IDLE_SECONDS: Final = 5.0
_PERMANENT: Final = 500


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and as whom."""

    host: str
    port: int
    security: Security
    """`starttls`: plain until both sides turn to TLS, and nothing is sent if they do not; `none` is for tests."""
    sender: str
    """`name <address>` or an address."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Who vouches for the server; None for the public authorities."""


class MailAdapter:
    """Hands messages to one mail server, one after the other."""

    def __init__(self, server: MailServer, timeout_seconds: float, clock: Clock) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._turn = asyncio.Lock()
        self._client: aiosmtplib.SMTP | None = None
        self._used = Elapsed()

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`. The `delivery_id` is in the Message-ID, by which mailboxes drop doubles."""
        if not ADDRESS.fullmatch(outgoing.address):
            raise UndeliveredError("the address is no e-mail address", is_final=True)
        message = self._message(outgoing)
        async with self._turn:
            try:
                client = await self._connected()
                await client.send_message(message, recipients=[outgoing.address])
            except (SMTPException, OSError) as error:
                self._hang_up_unless_well(error)
                # Its text repeats addresses, and so may what it was raised from.
                raise _undelivered(error) from None
            except BaseException:
                self._hang_up()  # stopped in the middle: what comes next on this connection is anybody's guess
                raise
            self._used.restart()
        return Accepted(provider_id=message["Message-ID"], awaits_receipt=False)

    async def close(self) -> None:
        """End the connection."""
        async with self._turn:
            self._hang_up()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and await self._is_still_there(self._client):
            return self._client
        self._hang_up()
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=None if server.security == "none" else ssl.create_default_context(cafile=server.ca_file),
            timeout=self._timeout_seconds,
        )
        self._client = client
        await client.connect()
        return client

    async def _is_still_there(self, client: aiosmtplib.SMTP) -> bool:
        """Mail servers end a connection that was idle for a while: ask before a message is lost on it."""
        if not client.is_connected:
            return False
        if self._used.seconds < IDLE_SECONDS:
            return True
        try:
            await client.noop()
        except (SMTPException, OSError):
            return False
        return True

    def _hang_up_unless_well(self, error: Exception) -> None:
        if not isinstance(error, SMTPDataError | SMTPRecipientsRefused):
            self._hang_up()

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _message(self, outgoing: Outgoing) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        domain = parseaddr(self._server.sender)[1].rpartition("@")[2]
        message["From"] = self._server.sender
        message["To"] = outgoing.address
        message["Subject"] = " ".join(outgoing.title.split())
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{outgoing.delivery_id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note answers it
        message.set_content(outgoing.body, charset="utf-8", cte="base64")
        message["Content-Language"] = outgoing.language  # setting the content drops what says something of it
        return message


def _undelivered(error: Exception) -> UndeliveredError:
    if isinstance(error, SMTPRecipientsRefused):
        code = error.recipients[0].code
        if code >= _PERMANENT:
            return UndeliveredError(f"the mail server refuses the address with {code}", is_final=True)
        return AddressBusyError(f"the mail server takes nothing for the address now, with {code}")
    if isinstance(error, SMTPDataError):
        return UndeliveredError(
            f"the mail server refuses the message with {error.code}", is_final=error.code >= _PERMANENT
        )
    if isinstance(error, SMTPResponseException):  # about us: whoever mends it wants the message to go out then
        return UndeliveredError(f"the mail server answered {error.code} ({type(error).__name__})", is_final=False)
    if isinstance(error, SMTPNotSupported):
        return UndeliveredError("the mail server does not support what is needed", is_final=False)
    return UndeliveredError(f"no answer of the mail server ({type(error).__name__})", is_final=False)

"""Where a gateway tells what became of a message: a small HTTP server for signed receipts.

A receipt names our own `delivery_id` and no person. Taking one again changes nothing, so a copy of a signed request is
worth nothing, and its time only bounds how long one could be kept.
"""

import asyncio
import json
import re
from typing import Any, Final
from uuid import UUID

from aiohttp import web

from kit.clock import Clock
from kit.observability import get_logger
from kit.probes import CannotListen
from kit.signing import SignatureInvalid, TokenSigner
from notify.channels.receipts import Fate, Receipt, ReceiptDesk
from notify.channels.signed_http import TIMESTAMP, require_present, require_signature
from notify.metrics import RECEIPTS

PATH: Final = "/v1/receipts"
MOST_BODY_BYTES: Final = 128 * 1024
MOST_RECEIPTS: Final = 500
MOST_AT_ONCE: Final = 32
BODY_SECONDS: Final = 5.0
TAKE_SECONDS: Final = 10.0
_CODE: Final = re.compile(r"[A-Z0-9_]{0,64}")

_log = get_logger()


class MalformedReceipts(Exception):
    """The body is not what the contract says; tells where."""


class CallbackServer:
    """Serves `POST /v1/receipts` on `address` (HOST:PORT; port 0 takes a free one)."""

    def __init__(self, address: str, signer: TokenSigner, desk: ReceiptDesk, clock: Clock) -> None:
        self._address = address
        self._signer = signer
        self._desk = desk
        self._clock = clock
        self._lines = asyncio.Semaphore(MOST_AT_ONCE)
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the start."""
        return int(self._runner.addresses[0][1]) if self._runner and self._runner.addresses else 0

    async def start(self) -> None:
        """Listen and answer from now on.

        Raises:
            CannotListen: the address is taken or not of this machine.
        """
        app = web.Application(client_max_size=MOST_BODY_BYTES)
        app.router.add_post(PATH, self._receive)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=15.0, shutdown_timeout=5.0)
        await self._runner.setup()
        host, _, port = self._address.rpartition(":")
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await self.stop()
            raise CannotListen(self._address, "receipts", error.strerror or str(error)) from error

    async def stop(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            receipts = receipts_in(await self._signed_body(request))
        except SignatureInvalid:
            RECEIPTS.labels("UNSIGNED").inc()
            return _refused(401, "SIGNATURE_INVALID")
        except TimeoutError:
            return _refused(408, "TOO_SLOW")
        except MalformedReceipts as error:
            RECEIPTS.labels("MALFORMED").inc()
            return _refused(400, "MALFORMED", str(error))
        # Only now: whoever is slow to say what they have to say, or cannot sign it, keeps no line from the others.
        if self._lines.locked():
            return _refused(503, "BUSY")
        async with self._lines:
            return await self._take(receipts)

    async def _signed_body(self, request: web.Request) -> bytes:
        """The body. Whoever does not even say the time is not listened to."""
        require_present(request.headers.get(TIMESTAMP, ""), self._clock.now())
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()  # answers 413 by itself when there is more than the bound
        require_signature(self._signer, PATH, request.headers, body, self._clock.now())
        return body

    async def _take(self, receipts: list[Receipt]) -> web.Response:
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                known = await self._desk.take(receipts)
        except Exception as error:  # noqa: BLE001 - the gateway sends them again, whatever it was
            _log.exception("receipts were not taken", receipts=len(receipts), why=type(error).__name__)
            return _refused(503, "TRY_AGAIN")
        for receipt in receipts:
            RECEIPTS.labels(receipt.fate.value if receipt.delivery_id in known else "UNKNOWN").inc()
        unknown = [str(one.delivery_id) for one in receipts if one.delivery_id not in known]
        return web.json_response({"taken": len(receipts) - len(unknown), "unknown": unknown})


def receipts_in(body: bytes) -> list[Receipt]:
    """What a body says, in its order.

    Raises:
        MalformedReceipts: it is not what the contract says.
    """
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedReceipts("the body is not JSON") from None
    stated = content.get("receipts") if isinstance(content, dict) else None
    if not isinstance(stated, list) or not 1 <= len(stated) <= MOST_RECEIPTS:
        raise MalformedReceipts(f"receipts must be a list of 1 to {MOST_RECEIPTS}")
    return [_receipt(number, one) for number, one in enumerate(stated)]


def _receipt(number: int, stated: object) -> Receipt:
    fields: dict[str, Any] = stated if isinstance(stated, dict) else {}
    code = fields.get("code", "")
    try:
        delivery_id, fate = UUID(fields.get("delivery_id", "")), Fate(fields.get("state"))
    except (ValueError, TypeError, AttributeError):  # no UUID; another word; something else than text
        raise MalformedReceipts(f"receipts[{number}] needs a delivery_id (UUID) and a state") from None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise MalformedReceipts(f"receipts[{number}].code has at most 64 of A-Z, 0-9 and _")
    return Receipt(delivery_id, fate, code)


def _refused(status: int, code: str, what: str = "") -> web.Response:
    return web.json_response({"code": code, **({"what": what} if what else {})}, status=status)

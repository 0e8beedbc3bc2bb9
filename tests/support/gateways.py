"""A gateway for SMS and push, written from its contract (`services/notify/CHANNELS.md`), apart from notify."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from support.http_servers import Behaviour, HttpServer, Received

MESSAGES_PATH = "/v1/messages"
RECEIPTS_PATH = "/v1/receipts"


class Gateway(HttpServer):
    """Takes each `delivery_id` once, refuses what is not signed, and sends receipts when told to."""

    def __init__(self, ring: Path) -> None:
        super().__init__(_takes)
        document = json.loads(ring.read_text(encoding="utf-8"))
        self.active: str = document["active"]
        self.keys = {name: base64.b64decode(key["key"]) for name, key in document["keys"].items()}
        self.messages: dict[str, dict[str, Any]] = {}
        """What was taken, by `delivery_id`."""

    @property
    def url(self) -> str:
        """Where messages are posted."""
        return self.origin + MESSAGES_PATH

    def take(self, received: Received) -> web.Response:
        """What it answers to a request, having kept the message."""
        if not self.is_signed(received):
            return web.json_response({"code": "SIGNATURE_INVALID"}, status=401)
        content = json.loads(received.body)
        self.messages.setdefault(content["delivery_id"], content)
        return web.json_response({"message_id": f"gw-{content['delivery_id']}", "receipt": True}, status=202)

    def is_signed(self, received: Received) -> bool:
        """Whether one of its keys signed the request within the last five minutes."""
        key = self.keys.get(received.headers.get("Gongji-Key", ""))
        timestamp, nonce = received.headers["Gongji-Timestamp"], received.headers["Gongji-Nonce"]
        if key is None or abs(time.time() - int(timestamp)) > 300:
            return False
        expected = seal(key, received.path, timestamp, nonce, received.body)
        return hmac.compare_digest(expected, received.headers["Gongji-Signature"])

    def receipt_headers(self, body: bytes, **changed: str) -> dict[str, str]:
        """The headers of a receipt that it signs now."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        signature = seal(self.keys[self.active], RECEIPTS_PATH, timestamp, nonce, body)
        headers = {"Key": self.active, "Timestamp": timestamp, "Nonce": nonce, "Signature": signature}
        return {f"Gongji-{name}": value for name, value in (headers | changed).items()}

    async def send_receipts(self, callback: str, *receipts: dict[str, Any]) -> tuple[int, Any]:
        """Tell `callback` (`http://HOST:PORT`) what became of messages; its status and answer."""
        body = json.dumps({"receipts": receipts}).encode()
        return await post(callback + RECEIPTS_PATH, body, self.receipt_headers(body))


async def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    """Status and content of an answer; None where it is not JSON."""
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else None


def receipt(delivery_id: object, state: str = "DELIVERED", code: str = "") -> dict[str, Any]:
    """A receipt as JSON has it."""
    return {"delivery_id": str(delivery_id), "state": state, **({"code": code} if code else {})}


def seal(key: bytes, path: str, timestamp: str, nonce: str, body: bytes) -> str:
    """The signature that the contract asks for."""
    text = "\n".join(("GONGJI-HMAC-SHA256", "POST", path, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()


def write_gateway_ring(path: Path, active: str = "g1", *names: str) -> Path:
    """A ring of signing keys; each key follows from its name."""
    keys = {
        name: {"algorithm": "HMAC-SHA256", "key": base64.b64encode(name.encode() * 16).decode()}
        for name in {active, *names}
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps({"active": active, "keys": keys}), encoding="utf-8")
    return path


async def _takes(server: HttpServer, received: Received) -> web.StreamResponse:
    assert isinstance(server, Gateway)
    return server.take(received)


async def takes_and_is_gone(server: HttpServer, received: Received) -> web.StreamResponse:
    """Keeps the message and loses the answer: whoever sent it does not know."""
    assert isinstance(server, Gateway)
    server.take(received)
    if received.raw.transport is not None:
        received.raw.transport.abort()
    return web.Response()


takes: Behaviour = _takes

"""WeCom, DingTalk and Feishu by the robots that people add to a chat: a fixed host, and a token that is the address.

An address is TOKEN, or TOKEN:SECRET where the robot asks for signatures. None of the three takes a key against doubles.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from kit.clock import Clock
from notify.channels.http import Answer, HttpClient
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.domain.channels import Channel

ADDRESS: Final = re.compile(r"(?P<token>[A-Za-z0-9_-]{8,128})(?::(?P<secret>[A-Za-z0-9_-]{8,128}))?")
"""Nothing in it can change the path or the query that it is put into."""
MOST_TEXT_BYTES: Final = 2048
"""WeCom's bound, the lowest of the three."""
_HEADERS: Final = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Robot:
    """One robot's address, taken apart."""

    token: str
    secret: str
    """Empty where it asks for no signature."""


class Dialect(Protocol):
    """How one messenger's robots are spoken to."""

    name: str
    url: str
    """Where they are reached unless the settings say otherwise."""
    code_field: str
    """The field of an answer that is 0 when the message was taken."""
    busy_seconds: Mapping[int, float]
    """Codes that mean too often, with how long the robot then takes nothing."""
    final_codes: frozenset[int]
    """Codes that mean that this robot is gone, or will never take this."""

    def request(self, url: str, robot: Robot, text: str, now_seconds: float) -> tuple[str, dict[str, object]]:
        """The URL and the content of a POST."""
        ...


class WeCom:
    """企业微信群机器人."""

    name = "WeCom"
    url = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
    code_field = "errcode"
    busy_seconds: Mapping[int, float] = {45009: 60.0}
    # no such robot; empty, too long or malformed
    final_codes = frozenset({93000, 93008, 40008, 40058, 44004, 45002})

    def request(self, url: str, robot: Robot, text: str, now_seconds: float) -> tuple[str, dict[str, object]]:
        """See `Dialect.request`. It knows no signatures."""
        del now_seconds
        return f"{url}?{urlencode({'key': robot.token})}", {"msgtype": "text", "text": {"content": text}}


class DingTalk:
    """钉钉自定义机器人."""

    name = "DingTalk"
    url = "https://oapi.dingtalk.com/robot/send"
    code_field = "errcode"
    busy_seconds: Mapping[int, float] = {130101: 600.0, 410100: 600.0}
    # no such token; words, signature or network that the robot's owner does not allow; malformed
    final_codes = frozenset({300001, 300005, 310000, 40035, 400013, 400101, 400102, 430101, 430102, 430103, 430104})

    def request(self, url: str, robot: Robot, text: str, now_seconds: float) -> tuple[str, dict[str, object]]:
        """See `Dialect.request`."""
        query = {"access_token": robot.token}
        if robot.secret:
            milliseconds = str(int(now_seconds * 1000))
            mac = hmac.digest(robot.secret.encode(), f"{milliseconds}\n{robot.secret}".encode(), hashlib.sha256)
            query |= {"timestamp": milliseconds, "sign": base64.b64encode(mac).decode()}
        return f"{url}?{urlencode(query)}", {"msgtype": "text", "text": {"content": text}}


class Feishu:
    """飞书自定义机器人."""

    name = "Feishu"
    url = "https://open.feishu.cn/open-apis/bot/v2/hook"
    code_field = "code"
    busy_seconds: Mapping[int, float] = {11232: 60.0, 99991400: 60.0}
    # malformed; no such token; signature, network or words that the robot's owner does not allow
    final_codes = frozenset({9499, 19001, 19021, 19022, 19024})

    def request(self, url: str, robot: Robot, text: str, now_seconds: float) -> tuple[str, dict[str, object]]:
        """See `Dialect.request`."""
        content: dict[str, object] = {"msg_type": "text", "content": {"text": text}}
        if robot.secret:
            seconds = str(int(now_seconds))
            # What is usually the key is the text here, and the text is empty.
            mac = hmac.digest(f"{seconds}\n{robot.secret}".encode(), b"", hashlib.sha256)
            content |= {"timestamp": seconds, "sign": base64.b64encode(mac).decode()}
        return f"{url}/{robot.token}", content


DIALECTS: Final[Mapping[Channel, Dialect]] = {
    Channel.WECOM: WeCom(),
    Channel.DINGTALK: DingTalk(),
    Channel.FEISHU: Feishu(),
}


class RobotAdapter:
    """Hands messages to the robots of one messenger."""

    def __init__(self, http: HttpClient, dialect: Dialect, clock: Clock, url: str | None = None) -> None:
        self._http = http
        self._dialect = dialect
        self._clock = clock
        self._url = url or dialect.url

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`. A message whose answer was lost may come twice."""
        robot = _robot(outgoing.address)
        text = shortened(f"{outgoing.title}\n{outgoing.body}".strip())
        url, content = self._dialect.request(self._url, robot, text, self._clock.now().timestamp())
        answer = await self._http.post(url, json.dumps(content, ensure_ascii=False).encode(), _HEADERS)
        self._require_taken(answer)
        return Accepted(provider_id=None, awaits_receipt=False)

    async def close(self) -> None:
        """End the connections."""
        await self._http.close()

    def _require_taken(self, answer: Answer) -> None:
        if not answer.is_success:
            raise answer.failure()
        code = _code(answer.body, self._dialect.code_field)
        if code is None:
            raise UndeliveredError(f"{self._dialect.name} answered what is no answer", is_final=False)
        if code == 0:
            return
        why = f"{self._dialect.name} refused with {code}"
        if code in self._dialect.busy_seconds:
            raise AddressBusyError(why, retry_after_seconds=self._dialect.busy_seconds[code])
        raise UndeliveredError(why, is_final=code in self._dialect.final_codes)


def shortened(text: str, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """The text, or as many whole characters of it as go into `most_bytes` of UTF-8 with an ellipsis."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    return encoded[: most_bytes - len("…".encode())].decode(errors="ignore") + "…"


def _robot(address: str) -> Robot:
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise UndeliveredError("the address is no robot's", is_final=True)
    return Robot(match["token"], match["secret"] or "")


def _code(body: bytes, code_field: str) -> int | None:
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = content.get(code_field) if isinstance(content, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None

"""The real-name check at a regional platform: one HTTPS request that changes nothing, and what to do when it fails.

    POST <url>   {"psn_name": "…", "psn_cert_type": "01", "certno": "…"}
    200          {"result": "MATCH", "psn_no": "…"} or {"result": "MISMATCH"}

Everything else is the platform's failure and never a mismatch: nobody is refused because a server is down. Neither
logs nor metrics nor exceptions carry what was asked or answered.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from identity.domain.certificate import Certificate
from identity.domain.refusals import RegistryUnavailable
from identity.metrics import CHECKS
from kit.circuit import CircuitBreaker, CircuitOpen
from kit.clock import SystemClock
from kit.errors import Refusal
from kit.observability import get_logger
from kit.retry_after import retry_after
from kit.tls_context import believing

_PSN_NO: Final = re.compile(r"[0-9A-Za-z]{1,30}")
_BUSY_OR_BROKEN: Final = frozenset({408, 429, 500, 502, 503, 504})
_NOT_LET_IN: Final = frozenset({401, 403, 404, 405})

Authorize = Callable[[bytes], Mapping[str, str]]
"""From a request's body to the headers by which the platform knows who asks."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the platform is waited for. The check runs within a transaction, so all of it stays short."""

    total_seconds: float = 2.5
    """For all attempts and pauses together; below the database's own lock time-out."""
    connect_seconds: float = 1.0
    attempt_seconds: float = 2.0
    """For one attempt from connecting to the answer's last byte, however steadily it drips."""
    attempts: int = 3
    first_pause_seconds: float = 0.1
    most_pause_seconds: float = 1.0
    most_in_flight: int = 4
    """A slow platform must not hold every database connection of this process."""
    most_answer_bytes: int = 16 * 1024


class _Trouble(Exception):
    """One request failed; the text says how, and nothing of what was asked or answered."""

    def __init__(self, what: str, *, again: bool, retry_after_seconds: float = 0.0) -> None:
        super().__init__(what)
        self.again = again
        """Whether the same request may succeed in a moment."""
        self.retry_after_seconds = retry_after_seconds


class _Objection(Exception):
    """The platform is well and does not take this one request: no reason to leave it alone."""


class RegionalPlatform:
    """See `identity.registry.RealNameRegistry`.

    Args:
        url: where the check is.
        client: see `client`; closed by `close`.
        authorize: makes the headers that say who asks.
        patience: time-outs and bounds.
        breaker: when to leave the platform alone.
    """

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        authorize: Authorize,
        patience: Patience | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._url = url
        self._client = client
        self._authorize = authorize
        self._patience = patience or Patience()
        self._breaker = breaker or CircuitBreaker()
        self._in_flight = 0
        self._log = get_logger()

    async def psn_no_of(self, name: str, certificate: Certificate) -> str | None:
        """See the port.

        Raises:
            RegistryUnavailable: the platform gave no answer that can be used.
            Refusal: `OVERLOADED`, as many checks as may be are under way.
        """
        if self._in_flight >= self._patience.most_in_flight:
            raise Refusal("OVERLOADED", "too many real-name checks are under way; send again in a moment")
        asked = {"psn_name": name, "psn_cert_type": str(certificate.type), "certno": certificate.number}
        self._in_flight += 1
        try:
            return await self._insist(json.dumps(asked, ensure_ascii=False).encode())
        finally:
            self._in_flight -= 1

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _insist(self, body: bytes) -> str | None:
        patience = self._patience
        again = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Trouble) and error.again),
            wait=self._pause_seconds,
            stop=stop_after_attempt(patience.attempts),
            reraise=True,
        )
        try:
            async with asyncio.timeout(patience.total_seconds):
                found: str | None = await again(self._guarded, body)
        except TimeoutError:
            raise self._unavailable("no answer in time") from None
        except (_Trouble, _Objection) as trouble:
            retry_after_seconds = trouble.retry_after_seconds if isinstance(trouble, _Trouble) else 0
            raise self._unavailable(str(trouble), retry_after_seconds) from None
        except CircuitOpen as resting:
            raise self._unavailable("left alone", resting.retry_after_seconds) from None
        CHECKS.labels("MATCH" if found else "MISMATCH").inc()
        return found

    def _pause_seconds(self, state: RetryCallState) -> float:
        patience = self._patience
        jitter = wait_random_exponential(multiplier=patience.first_pause_seconds, max=patience.most_pause_seconds)
        error = state.outcome.exception() if state.outcome else None
        return max(jitter(state), error.retry_after_seconds if isinstance(error, _Trouble) else 0.0)

    async def _guarded(self, body: bytes) -> str | None:
        with self._breaker.guard(_Trouble):
            try:
                async with asyncio.timeout(self._patience.attempt_seconds):
                    return await self._ask(body)
            except (TimeoutError, httpx.TimeoutException):
                raise _Trouble("no answer in time", again=True) from None
            except httpx.TransportError as error:
                raise _Trouble(f"the connection failed ({type(error).__name__})", again=True) from None

    async def _ask(self, body: bytes) -> str | None:
        headers = {"content-type": "application/json", **self._authorize(body)}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            if response.status_code != HTTPStatus.OK:
                raise self._judged(response)
            return _psn_no(await self._bounded(response))

    def _judged(self, response: httpx.Response) -> Exception:
        code = response.status_code
        if code in _BUSY_OR_BROKEN:
            asked = retry_after(response.headers.get("retry-after"), SystemClock().now())
            wait_seconds = asked.total_seconds() if asked is not None else 0.0
            again = wait_seconds <= self._patience.most_pause_seconds
            return _Trouble(f"status {code}", again=again, retry_after_seconds=wait_seconds)
        if code in _NOT_LET_IN or code not in range(400, 500):
            return _Trouble(f"status {code}", again=False)
        return _Objection(f"status {code}")

    async def _bounded(self, response: httpx.Response) -> bytes:
        # Raw, so that nothing is unpacked: what is sent is what is counted.
        received = bytearray()
        async for chunk in response.aiter_raw():
            received += chunk
            if len(received) > self._patience.most_answer_bytes:
                raise _Trouble("the answer is too large", again=False)
        return bytes(received)

    def _unavailable(self, what: str, retry_after_seconds: float = 0.0) -> RegistryUnavailable:
        CHECKS.labels("UNAVAILABLE").inc()
        self._log.warning("the real-name check is unavailable", why=what)
        return RegistryUnavailable(max(1, round(retry_after_seconds)))


def _psn_no(answer: bytes) -> str | None:
    try:
        stated: Any = json.loads(answer)
        result, psn_no = stated["result"], stated.get("psn_no", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _Trouble("the answer is not of the contract", again=False) from None
    if result == "MISMATCH":
        return None
    if result != "MATCH" or not isinstance(psn_no, str) or not _PSN_NO.fullmatch(psn_no):
        raise _Trouble("the answer is not of the contract", again=False)
    return psn_no


def client(patience: Patience, ca_file: Path | None) -> httpx.AsyncClient:
    """A client that believes `ca_file`, or the system's authorities, and nobody else.

    Neither redirects nor a proxy of the environment may take personal data elsewhere.
    """
    return httpx.AsyncClient(
        verify=believing(ca_file) if ca_file else ssl.create_default_context(),
        timeout=httpx.Timeout(patience.attempt_seconds, connect=patience.connect_seconds),
        limits=httpx.Limits(max_connections=patience.most_in_flight, max_keepalive_connections=patience.most_in_flight),
        headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "gongji-identity"},
        follow_redirects=False,
        trust_env=False,
    )

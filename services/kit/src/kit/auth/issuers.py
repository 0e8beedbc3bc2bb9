"""Who may issue assertions about people, and with which keys: a file, and for some of them a URL.

    {"issuers": {NAME: {"roles": ["citizen"], "caller": "service/portal", "jwks": {"keys": […]}}}}

Instead of `jwks` an issuer may have `jwks_url`, as an identity provider publishes its keys. The file is read again when
it changes and the URLs every minute, so that keys are added and withdrawn without a restart.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from kit.failures import OperatorError

ALGORITHM = "EdDSA"
REFRESH_SECONDS = 60.0
FETCH_TIMEOUT_SECONDS = 5.0
MAX_JWKS_BYTES = 64 * 1024
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Keys = Mapping[str, jwt.PyJWK]
"""By key id."""

_log = structlog.get_logger()


class IssuersFileError(OperatorError):
    """The file of assertion issuers cannot be used; says why."""


class _KeySource(Protocol):
    @property
    def keys(self) -> Keys: ...


@dataclass(frozen=True, slots=True)
class _StatedKeys:
    keys: Keys


class _PublishedKeys:
    """Keys at a URL: the last that could be had; none before the first time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: Keys = {}

    async def refresh(self, client: httpx.AsyncClient) -> None:
        """Fetch them. What fails is logged, and what was had before stays good."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                self.keys = _published(await _fetched(client, self.url))
        except (httpx.HTTPError, TimeoutError, *_UNREADABLE) as error:
            _log.warning("an issuer's keys cannot be had", url=self.url, why=type(error).__name__, known=len(self.keys))


@dataclass(frozen=True, slots=True)
class Issuer:
    """One that is known."""

    name: str
    roles: frozenset[str]
    """Those that it may give."""
    caller: str
    """Who presents its assertions, such as `service/portal`."""
    _source: _KeySource

    def key(self, key_id: str) -> jwt.PyJWK | None:
        """Its key of this id, or None."""
        return self._source.keys.get(key_id)


class Issuers:
    """The issuers of a file.

    Raises:
        IssuersFileError: it cannot be used. A change that cannot be used is logged, and what was read before stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._published: dict[str, _PublishedKeys] = {}
        self._stamp = _stamp(path)
        self._known = self._read()

    def get(self, name: str) -> Issuer | None:
        """The issuer of this name, or None."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._known = self._read()
            except IssuersFileError as error:
                _log.error("the assertion issuers' file has become unusable; what it said before stays", why=str(error))
        return self._known.get(name)

    async def refresh(self) -> None:
        """Fetch the keys of all that have a URL."""
        if self._published:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS) as client:
                await asyncio.gather(*(source.refresh(client) for source in list(self._published.values())))

    async def keep_fresh(self) -> None:
        """Refresh every minute until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.refresh()

    def _read(self) -> dict[str, Issuer]:
        before, self._published = self._published, {}
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))["issuers"]
            return {name: self._issuer(name, entry, before) for name, entry in entries.items()}
        except (OSError, *_UNREADABLE) as error:
            self._published = before
            raise IssuersFileError(
                f"{self._path} is not a file of assertion issuers ({type(error).__name__}: {error}); it must look like "
                '{"issuers": {NAME: {"roles": […], "caller": "service/portal", "jwks": {"keys": […]}}}}'
                " or have jwks_url instead of jwks"
            ) from error

    def _issuer(self, name: str, entry: Mapping[str, Any], before: Mapping[str, _PublishedKeys]) -> Issuer:
        source: _KeySource
        if "jwks_url" in entry:
            url = _url(entry["jwks_url"])
            source = self._published[url] = before.get(url) or _PublishedKeys(url)
        else:
            source = _StatedKeys({key["kid"]: jwt.PyJWK(key, algorithm=ALGORITHM) for key in entry["jwks"]["keys"]})
        return Issuer(name, frozenset(entry["roles"]), entry["caller"], source)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("jwks_url must begin with https://")
    return url


async def _fetched(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        content = b""
        async for part in response.aiter_bytes():
            content += part
            if len(content) > MAX_JWKS_BYTES:
                raise ValueError("the key set is too large")
    return content


def _published(content: bytes) -> Keys:
    # An identity provider may publish keys of other kinds for other purposes; only ours can be named by an assertion.
    keys = [key for key in json.loads(content)["keys"] if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"]
    return {key["kid"]: jwt.PyJWK(key, algorithm=ALGORITHM) for key in keys}

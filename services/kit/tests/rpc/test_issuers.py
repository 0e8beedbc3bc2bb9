"""Issuers whose keys change: in the file, and at a URL that is not always there."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from structlog.testing import capture_logs

from kit.auth.issuers import MAX_JWKS_BYTES, Issuers, IssuersFileError


def jwk(kid: str) -> dict[str, str]:
    public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode()}


def write(path: Path, **source: Any) -> Path:
    entry = {"roles": ["operator"], "caller": "service/portal", **source}
    path.write_text(json.dumps({"issuers": {"idp": entry}}))
    return path


def known(issuers: Issuers, *kids: str) -> list[bool]:
    issuer = issuers.get("idp")
    assert issuer is not None
    return [issuer.key(kid) is not None for kid in kids]


class Provider:
    """An identity provider: answers with `status` and `content`."""

    def __init__(self) -> None:
        provider = self
        self.status, self.content = 200, b""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(provider.status)
                self.end_headers()
                self.wfile.write(provider.content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/jwks"

    def publish(self, *keys: dict[str, str]) -> None:
        self.status, self.content = 200, json.dumps({"keys": keys}).encode()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def test_a_key_that_is_added_to_the_file_is_believed_and_a_removed_one_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "issuers.json", jwks={"keys": [jwk("old")]})
    issuers = Issuers(path)
    assert known(issuers, "old", "new") == [True, False]
    write(path, jwks={"keys": [jwk("old"), jwk("new")]})
    assert known(issuers, "old", "new") == [True, True]
    write(path, jwks={"keys": [jwk("new")]})
    assert known(issuers, "old", "new") == [False, True]


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("{"), lambda path: path.unlink()], ids=["torn", "gone"])
def test_a_file_that_has_become_unusable_is_told_and_what_it_said_stays(tmp_path: Path, spoil: Any) -> None:
    path = write(tmp_path / "issuers.json", jwks={"keys": [jwk("k")]})
    issuers = Issuers(path)
    spoil(path)
    with capture_logs() as lines:
        assert known(issuers, "k") == [True]
        assert known(issuers, "k") == [True]
    assert [line["log_level"] for line in lines] == ["error"]
    write(path, jwks={"keys": [jwk("again")]})
    assert known(issuers, "again", "k") == [True, False]


async def test_published_keys_are_fetched_and_follow_what_is_published(tmp_path: Path, provider: Provider) -> None:
    provider.publish(jwk("a"))
    issuers = Issuers(write(tmp_path / "issuers.json", jwks_url=provider.url))
    assert known(issuers, "a") == [False]
    await issuers.refresh()
    assert known(issuers, "a", "b") == [True, False]
    provider.publish(jwk("b"), {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"})
    await issuers.refresh()
    assert known(issuers, "a", "b", "r") == [False, True, False]


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}'),
        (200, b" " * (MAX_JWKS_BYTES + 1)),
    ],
    ids=["error", "redirect", "page", "list", "no key id", "endless"],
)
async def test_a_provider_that_fails_is_told_of_and_what_was_had_stays(
    tmp_path: Path, provider: Provider, status: int, content: bytes
) -> None:
    provider.publish(jwk("a"))
    issuers = Issuers(write(tmp_path / "issuers.json", jwks_url=provider.url))
    await issuers.refresh()
    provider.status, provider.content = status, content
    with capture_logs() as lines:
        await issuers.refresh()
    assert known(issuers, "a") == [True]
    assert [line["known"] for line in lines] == [1]


async def test_keys_that_were_had_survive_a_change_of_the_file(tmp_path: Path, provider: Provider) -> None:
    provider.publish(jwk("a"))
    path = write(tmp_path / "issuers.json", jwks_url=provider.url)
    issuers = Issuers(path)
    await issuers.refresh()
    write(path, jwks_url=provider.url, roles=["operator", "auditor"])
    assert known(issuers, "a") == [True]
    issuer = issuers.get("idp")
    assert issuer is not None
    assert issuer.roles == {"operator", "auditor"}


@pytest.mark.parametrize("url", ["http://idp.example/jwks", "file:///etc/passwd", "", 7])
def test_keys_are_fetched_over_https_only(tmp_path: Path, url: Any) -> None:
    with pytest.raises(IssuersFileError, match="jwks_url"):
        Issuers(write(tmp_path / "issuers.json", jwks_url=url))


async def test_a_server_has_the_published_keys_when_it_begins_to_serve(
    tmp_path: Path, provider: Provider, serve: Any
) -> None:
    provider.publish(jwk("a"))
    async with serve(issuers=write(tmp_path / "issuers.json", jwks_url=provider.url)) as running:
        assert known(running.server._verifier.issuers, "a") == [True]

"""Signed tokens: what was signed comes back, anything else is refused, keys rotate without a restart."""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.signing import KeyRingUnusable, SignatureInvalid, TokenSigner

KEYS = {name: base64.b64encode(name.encode() * 16).decode() for name in ("c1", "c2")}


def write_ring(path: Path, active: str, *names: str, algorithm: str = "HMAC-SHA256") -> Path:
    keys = {name: {"algorithm": algorithm, "key": KEYS[name]} for name in names}
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(json.dumps({"active": active, "keys": keys}), encoding="utf-8")
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))
    return path


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    return write_ring(tmp_path / "ring.json", "c1", "c1")


@given(payload=st.binary(max_size=500))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_signed_payload_comes_back_unchanged(ring: Path, payload: bytes) -> None:
    signer = TokenSigner(ring)
    assert signer.verify(signer.sign(payload)) == payload


@given(payload=st.binary(min_size=1, max_size=80), data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_token_with_any_character_changed_is_refused(ring: Path, payload: bytes, data: st.DataObject) -> None:
    signer = TokenSigner(ring)
    token = signer.sign(payload)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.+/= ").filter(lambda character: character != token[at]))
    forged = token[:at] + other + token[at + 1 :]
    with pytest.raises(SignatureInvalid):
        signer.verify(forged)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "c1",
        "c1..",
        "c1.AAAA",
        "c1.AAAA.",
        "c9.AAAA.AAAA",
        "c1.ÄÄ.ÄÄ",
        "c1.AAAA.\udcff",
        "c1.\udcff.AAAA",
        "." * 50,
    ],
)
def test_what_is_no_token_is_refused(ring: Path, token: str) -> None:
    with pytest.raises(SignatureInvalid):
        TokenSigner(ring).verify(token)


def test_keys_rotate_without_a_restart(ring: Path) -> None:
    signer = TokenSigner(ring)
    old = signer.sign(b"facts")
    write_ring(ring, "c2", "c1", "c2")
    new = signer.sign(b"facts")
    assert new.startswith("c2.")
    assert signer.verify(old) == signer.verify(new) == b"facts"
    write_ring(ring, "c2", "c2")
    with pytest.raises(SignatureInvalid):
        signer.verify(old)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        '{"active": "c1"}',
        '{"active": "c1", "keys": {}}',
        '{"active": "c1", "keys": {"c1": {"algorithm": "HMAC-SHA256", "key": "AAAA"}}}',
        '{"active": "c1", "keys": {"c1": {"algorithm": "none", "key": "' + KEYS["c1"] + '"}}}',
        '{"active": "c2", "keys": {"c1": {"algorithm": "HMAC-SHA256", "key": "' + KEYS["c1"] + '"}}}',
    ],
)
def test_a_key_ring_that_cannot_be_used_says_so_at_start(tmp_path: Path, document: str) -> None:
    path = tmp_path / "ring.json"
    path.write_text(document, encoding="utf-8")
    with pytest.raises(KeyRingUnusable):
        TokenSigner(path)


def test_a_missing_key_ring_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(KeyRingUnusable, match=r"absent\.json"):
        TokenSigner(tmp_path / "absent.json")


@given(text=st.text(max_size=200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_seal_fits_its_text_alone(ring: Path, text: str) -> None:
    signer = TokenSigner(ring)
    seal = signer.seal(text)
    signer.check(seal, text)
    for other in (text + "x", text[1:] if text else "x"):
        with pytest.raises(SignatureInvalid):
            signer.check(seal, other)


@pytest.mark.parametrize(
    "changed", [{"key_id": "c2"}, {"key_id": ""}, {"mac": ""}, {"mac": "Zm9v"}, {"mac": "ü"}, {"mac": "\udcff"}]
)
def test_a_changed_seal_is_refused(ring: Path, changed: dict[str, str]) -> None:
    signer = TokenSigner(ring)
    with pytest.raises(SignatureInvalid):
        signer.check(replace(signer.seal("text"), **changed), "text")


def test_a_text_that_is_no_utf_8_has_no_seal(ring: Path) -> None:
    signer = TokenSigner(ring)
    with pytest.raises(SignatureInvalid):
        signer.check(signer.seal("text"), b"text\xff".decode(errors="surrogateescape"))


def test_seals_of_a_key_that_is_no_longer_active_are_still_believed(ring: Path) -> None:
    signer = TokenSigner(ring)
    before = signer.seal("text")
    write_ring(ring, "c2", "c1", "c2")
    signer.check(before, "text")
    assert signer.seal("text").key_id == "c2"
    write_ring(ring, "c2", "c2")
    with pytest.raises(SignatureInvalid):
        signer.check(before, "text")

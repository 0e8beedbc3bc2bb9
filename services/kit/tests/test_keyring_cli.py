"""Rings are made and changed by commands that show no key, and never left half or unusable."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kit.__main__ import app
from kit.crypto import KeyRing
from kit.signing import TokenSigner

RUNNER = CliRunner()


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def run(*arguments: object) -> str:
    """What a command says that does what it is told."""
    done = RUNNER.invoke(app, ["keyring", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["keyring", *map(str, arguments)])
    assert done.exit_code == 1
    return done.output


def test_a_ring_of_ciphers_goes_from_one_key_to_the_next(ring: Path) -> None:
    run("new", ring, "k1")
    sealed = KeyRing.load(ring).encrypt(b"text", b"context")
    assert run("add", ring, "k2").splitlines()[1:] == ["* k1  AES-256-GCM", "  k2  AES-256-GCM"]
    assert KeyRing.load(ring).active_key_id == "k1"
    run("activate", ring, "k2")
    moved = KeyRing.load(ring).reencrypt(sealed, b"context")
    index = KeyRing.load(ring).blind_index("name", "purpose")
    run("remove", ring, "k1")
    assert KeyRing.load(ring).key_ids == {"k2"}
    assert KeyRing.load(ring).decrypt(moved, b"context") == b"text"
    assert KeyRing.load(ring).blind_index("name", "purpose") == index


def test_a_ring_that_signs_goes_from_one_key_to_the_next(ring: Path) -> None:
    run("new", ring, "s1", "--algorithm", "HMAC-SHA256")
    signer = TokenSigner(ring)
    token = signer.sign(b"text")
    run("add", ring, "s2")
    run("activate", ring, "s2")
    assert signer.verify(token) == b"text"
    assert signer.sign(b"text").startswith("s2.")
    assert "blind_index_key" not in json.loads(ring.read_text())


def test_another_cipher_may_follow(ring: Path) -> None:
    run("new", ring, "k1")
    run("add", ring, "k2", "--algorithm", "SM4-GCM")
    run("activate", ring, "k2")
    assert "* k2  SM4-GCM" in run("show", ring)
    assert KeyRing.load(ring).active_key_id == "k2"


def test_no_key_is_ever_shown(ring: Path) -> None:
    said = run("new", ring, "k1") + run("add", ring, "k2") + run("activate", ring, "k2") + run("show", ring)
    stated = json.loads(ring.read_text())
    secrets = [key["key"] for key in stated["keys"].values()] + [stated["blind_index_key"]]
    assert len(set(secrets)) == 3
    assert not [secret for secret in secrets if secret in said]


def test_the_file_is_for_those_alone_who_could_read_it_before(ring: Path) -> None:
    run("new", ring, "k1")
    assert stat.S_IMODE(ring.stat().st_mode) == 0o600
    ring.chmod(0o640)
    run("add", ring, "k2")
    assert stat.S_IMODE(ring.stat().st_mode) == 0o640
    assert [each.name for each in ring.parent.iterdir()] == [ring.name]


def test_what_would_harm_is_refused_and_the_ring_stays(ring: Path) -> None:
    run("new", ring, "k1")
    before = ring.read_bytes()
    assert "is active; activate another one first" in refused("remove", ring, "k1")
    assert "has no key k9; it has k1" in refused("activate", ring, "k9")
    assert "has no key k9" in refused("remove", ring, "k9")
    assert "has a key k1 already" in refused("add", ring, "k1")
    assert "HMAC-SHA256 does not go into a ring that encrypts" in refused(
        "add", ring, "k2", "--algorithm", "HMAC-SHA256"
    )
    assert "there is no algorithm DES" in refused("new", ring.with_name("other.json"), "k1", "--algorithm", "DES")
    assert "is there already" in refused("new", ring, "k1")
    assert ring.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"active": "k1", "keys": {}}', '{"blind_index_key": "x"}'])
def test_what_is_no_ring_is_told(ring: Path, content: str) -> None:
    ring.write_text(content)
    assert refused("add", ring, "k2").startswith("✗")
    assert ring.read_text() == content


def test_an_id_that_no_ciphertext_could_carry_is_refused(ring: Path) -> None:
    run("new", ring, "k1")
    before = ring.read_bytes()
    for key_id in ("k" * 65, "", "k.2", "k 2", "密"):
        assert "1 to 64 letters" in refused("add", ring, key_id)
    assert ring.read_bytes() == before

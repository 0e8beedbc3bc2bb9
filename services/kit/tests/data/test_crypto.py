import base64
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.crypto import (
    NONCE_BYTES,
    TAG_BYTES,
    Algorithm,
    CryptoError,
    DecryptionError,
    KeyRing,
    KeyRingError,
    RingKey,
    UnknownKeyError,
    key_id_of,
)

INDEX_KEY = bytes(range(32))
AES = RingKey("aes-1", Algorithm.AES_256_GCM, b"a" * 32)
AES_NEXT = RingKey("aes-2", Algorithm.AES_256_GCM, b"b" * 32)
SM4 = RingKey("sm4-1", Algorithm.SM4_GCM, b"c" * 16)

algorithms = st.sampled_from([AES, SM4])


def ring(active: RingKey, *others: RingKey, index_key: bytes = INDEX_KEY) -> KeyRing:
    return KeyRing(active.id, {key.id: key for key in (active, *others)}, index_key)


@given(algorithms, st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_encrypted_decrypts_in_its_context(key: RingKey, plaintext: bytes, context: bytes) -> None:
    keys = ring(key)
    assert keys.decrypt(keys.encrypt(plaintext, context), context) == plaintext


texts = st.lists(st.tuples(st.binary(max_size=60), st.binary(max_size=20)), max_size=5)


@given(algorithms, st.lists(texts, max_size=4))
def test_every_text_of_every_record_is_encrypted_by_itself(
    key: RingKey, records: list[list[tuple[bytes, bytes]]]
) -> None:
    keys = ring(key)
    ciphertexts = keys.encrypt_records(records)
    for record, sealed in zip(records, ciphertexts, strict=True):
        opened = [keys.decrypt(one, context) for one, (_, context) in zip(sealed, record, strict=True)]
        assert opened == [plaintext for plaintext, _ in record]
    # A nonce that came twice under the data key that a record shares, or under the ring's, would give both texts away.
    nonces = [nonce for sealed in ciphertexts for one in sealed for nonce in _nonces(one, key)]
    assert len(set(nonces)) == len(nonces) == 2 * sum(map(len, records))


def _nonces(ciphertext: bytes, key: RingKey) -> tuple[bytes, bytes]:
    wrapped_at = 3 + len(key.id.encode()) + NONCE_BYTES
    text_at = wrapped_at + key.algorithm.key_bytes + TAG_BYTES
    return ciphertext[wrapped_at - NONCE_BYTES : wrapped_at], ciphertext[text_at : text_at + NONCE_BYTES]


@given(algorithms)
def test_no_two_records_share_a_data_key_and_so_none_opens_under_another_key_ring(key: RingKey) -> None:
    keys = ring(key)
    one, other = keys.encrypt_records([[(b"same", b"context")], [(b"same", b"context")]])
    start = 3 + len(key.id.encode()) + NONCE_BYTES + key.algorithm.key_bytes + TAG_BYTES
    with pytest.raises(DecryptionError):
        keys.decrypt(one[0][:start] + other[0][start:], b"context")


@given(st.binary(min_size=32, max_size=32), st.text(max_size=90), st.text(max_size=20))
def test_a_blind_index_is_the_standards_keyed_hash(index_key: bytes, value: str, purpose: str) -> None:
    purpose_key = hmac.digest(index_key, purpose.encode(), "sha256")
    index = ring(AES, index_key=index_key).blind_index(value, purpose)
    assert index == hmac.digest(purpose_key, value.encode(), "sha256")


@given(algorithms, st.binary(max_size=60), st.binary(max_size=20), st.binary(max_size=20))
def test_another_context_does_not_open_it(key: RingKey, plaintext: bytes, context: bytes, other: bytes) -> None:
    keys = ring(key)
    ciphertext = keys.encrypt(plaintext, context)
    if context != other:
        with pytest.raises(DecryptionError):
            keys.decrypt(ciphertext, other)


@given(algorithms, st.binary(max_size=60), st.data())
def test_any_changed_bit_is_noticed(key: RingKey, plaintext: bytes, data: st.DataObject) -> None:
    keys = ring(key, AES_NEXT)
    ciphertext = bytearray(keys.encrypt(plaintext, b"person 1"))
    place = data.draw(st.integers(0, len(ciphertext) - 1))
    ciphertext[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((DecryptionError, UnknownKeyError)):
        keys.decrypt(bytes(ciphertext), b"person 1")


@given(algorithms, st.binary(max_size=60), st.data())
def test_a_ciphertext_cut_short_is_refused(key: RingKey, plaintext: bytes, data: st.DataObject) -> None:
    keys = ring(key)
    ciphertext = keys.encrypt(plaintext, b"person 1")
    with pytest.raises((DecryptionError, UnknownKeyError)):
        keys.decrypt(ciphertext[: data.draw(st.integers(0, len(ciphertext) - 1))], b"person 1")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_ciphertext_are_refused_by_name(noise: bytes) -> None:
    with pytest.raises(CryptoError):
        ring(AES).decrypt(noise, b"")


@given(algorithms, algorithms, st.binary(max_size=60), st.binary(max_size=20))
def test_reencrypted_it_needs_only_the_active_key(old: RingKey, new: RingKey, plaintext: bytes, context: bytes) -> None:
    ciphertext = ring(old).encrypt(plaintext, context)
    moved = ring(new, old).reencrypt(ciphertext, context)
    assert key_id_of(moved) == new.id
    assert ring(new).decrypt(moved, context) == plaintext


def test_reencrypting_under_a_key_of_the_same_kind_rewraps_and_leaves_the_text() -> None:
    ciphertext = ring(AES).encrypt(b"11010119900307001X", b"person 1")
    moved = ring(AES_NEXT, AES).reencrypt(ciphertext, b"person 1")
    assert moved != ciphertext
    assert moved[-46:] == ciphertext[-46:]  # nonce 12, text 18, tag 16


def test_what_is_under_the_active_key_is_left_as_it_is() -> None:
    keys = ring(AES)
    ciphertext = keys.encrypt(b"text", b"person 1")
    assert keys.reencrypt(ciphertext, b"person 1") == ciphertext


def test_reencrypting_refuses_what_it_cannot_open() -> None:
    ciphertext = ring(AES).encrypt(b"text", b"person 1")
    with pytest.raises(DecryptionError):
        ring(AES_NEXT, AES).reencrypt(ciphertext, b"person 2")


def test_an_unknown_key_is_named() -> None:
    ciphertext = ring(AES).encrypt(b"text", b"")
    with pytest.raises(UnknownKeyError, match="aes-1"):
        ring(AES_NEXT).decrypt(ciphertext, b"")


def test_equal_plaintexts_have_unequal_ciphertexts() -> None:
    keys = ring(AES)
    assert keys.encrypt(b"text", b"") != keys.encrypt(b"text", b"")


def test_no_plaintext_shows_in_the_ciphertext() -> None:
    assert b"11010119900307001X" not in ring(SM4).encrypt(b"11010119900307001X", b"11010119900307001X")


def test_blind_indexes_are_equal_for_equal_values_of_one_purpose_only() -> None:
    keys = ring(AES)
    index = keys.blind_index("11010119900307001X", "person.certno")
    assert index == ring(SM4).blind_index("11010119900307001X", "person.certno")
    assert index != keys.blind_index("110101199003070011", "person.certno")
    assert index != keys.blind_index("11010119900307001X", "person.phone")
    assert index != ring(AES, index_key=b"z" * 32).blind_index("11010119900307001X", "person.certno")
    assert len(index) == 32


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_purpose_and_value_do_not_run_into_each_other(value: str, purpose: str, other: str, elsewhere: str) -> None:
    keys = ring(AES)
    same = keys.blind_index(value, purpose) == keys.blind_index(other, elsewhere)
    assert same == ((value, purpose) == (other, elsewhere))


def test_keys_do_not_show_when_printed() -> None:
    assert "aaaa" not in repr(ring(AES)) + repr(AES)
    assert "aes-1" in repr(ring(AES))


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def stated(**changes: object) -> dict[str, object]:
    key = {"algorithm": "SM4-GCM", "key": b64(b"k" * 16)}
    return {"active": "k1", "keys": {"k1": key}, "blind_index_key": b64(INDEX_KEY), **changes}


def test_a_key_ring_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(json.dumps(stated()), encoding="utf-8")
    keys = KeyRing.load(path)
    assert keys.active_key_id == "k1"
    assert keys.decrypt(keys.encrypt(b"text", b"c"), b"c") == b"text"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"active": "k2"}, "k2"),
        ({"keys": {}}, "k1"),
        ({"keys": {"k1": {"algorithm": "AES-128-CBC", "key": b64(b"k" * 16)}}}, "AES-256-GCM, SM4-GCM"),
        ({"keys": {"k1": {"algorithm": "AES-256-GCM", "key": b64(b"k" * 16)}}}, "32 bytes"),
        ({"keys": {"k1": {"algorithm": "SM4-GCM", "key": "not base64!"}}}, "base64"),
        ({"keys": {"k1": {"algorithm": "SM4-GCM"}}}, "key"),
        ({"keys": {"": {"algorithm": "SM4-GCM", "key": b64(b"k" * 16)}}, "active": ""}, "1 to 64"),
        ({"keys": ["k1"]}, "AttributeError"),
        ({"blind_index_key": b64(b"short")}, "blind_index_key"),
        ({"blind_index_key": 7}, "TypeError"),
    ],
)
def test_a_key_ring_that_cannot_be_used_says_why(changes: dict[str, object], named: str) -> None:
    with pytest.raises(KeyRingError, match=named):
        KeyRing.from_json(stated(**changes))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_is_no_key_ring_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ring.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(KeyRingError):
        KeyRing.load(path)

"""Who a certificate makes of its holder, over real TLS."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from kit import auth, certificates
from kit.auth import principals
from kit.auth.principals import CaFileError, PeerIdentity, Principal
from kit.errors import Refusal, reason_of
from kit.grpc_client import TlsFiles
from kit.testing_tls import Authority, Pki

CODE = "H65270100001"


class Peer:
    """What a handshake would have established."""

    def __init__(self, tls: TlsFiles, spiffe_id: str | None) -> None:
        self._context: dict[str, list[bytes]] = {"x509_pem_cert": [tls.cert.read_bytes()]}
        if spiffe_id is not None:
            self._context["peer_spiffe_id"] = [spiffe_id.encode()]

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._context


async def ask(running: Any, tls: TlsFiles) -> tuple[list[auth.CallContext], grpc.aio.AioRpcError | None]:
    known: list[auth.CallContext] = []

    async def look(_request: Any, _context: Any) -> None:
        known.append(auth.current())

    running.echo.do = look
    async with running.channel(tls) as channel:
        try:
            await running.method(channel, "One")(running.messages.EchoRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            return known, error
    return known, None


async def test_each_ca_vouches_for_its_own_kind(serve: Any) -> None:
    async with serve() as running:
        known, _ = await ask(running, running.pki.institution(CODE))
        assert known[0].principal == Principal("institution", CODE)
        known, _ = await ask(running, running.pki.service("settlement"))
        assert str(known[0].principal) == "service/settlement"


UNBELIEVABLE: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "an institution's CA vouching for a service": ("institutions", ["spiffe://gongji-test/service/settlement"], []),
    "the services' CA vouching for an institution": ("services", [f"spiffe://gongji-test/institution/{CODE}"], []),
    "another environment's trust domain": ("institutions", [f"spiffe://gongji/institution/{CODE}"], []),
    "no SPIFFE id": ("institutions", [], []),
    "a DNS name that poses as a URI": ("institutions", [], [f"spiffe://gongji-test/institution/{CODE}"]),
    "a URI that is no SPIFFE id": ("institutions", [f"https://gongji-test/institution/{CODE}"], []),
    "two SPIFFE ids": (
        "institutions",
        [f"spiffe://gongji-test/institution/{CODE}", "spiffe://gongji-test/institution/H65270100002"],
        [],
    ),
    "a path of another kind": ("institutions", [f"spiffe://gongji-test/hospital/{CODE}"], []),
    "a path that goes on": ("institutions", [f"spiffe://gongji-test/institution/{CODE}/admin"], []),
    "a path without a name": ("institutions", ["spiffe://gongji-test/institution/"], []),
}


@pytest.mark.parametrize("case", UNBELIEVABLE)
async def test_a_certificate_that_establishes_nobody_is_unauthenticated(serve: Any, case: str) -> None:
    ca, uris, hosts = UNBELIEVABLE[case]
    async with serve() as running:
        pki: Pki = running.pki
        tls = pki.files(getattr(pki, ca), "doubtful", uris, hosts)
        known, error = await ask(running, tls)
    assert known == []
    assert error is not None
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_a_certificate_of_an_unknown_ca_does_not_get_through_tls(serve: Any) -> None:
    async with serve() as running:
        tls = running.pki.files(Authority("unknown"), "unknown", [f"spiffe://gongji-test/institution/{CODE}"])
        known, error = await ask(running, tls)
    assert known == []
    assert error is not None
    assert error.code() == grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def identity(pki: Pki) -> PeerIdentity:
    return PeerIdentity(pki.institution_ca_file, pki.service_ca_file, "gongji-test")


def test_a_certificate_is_examined_once(identity: PeerIdentity, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[object] = []
    real = certificates.issued_by

    def examine(*both: Any) -> bool:
        examined.append(both)
        return real(*both)

    monkeypatch.setattr(principals, "issued_by", examine)
    peer = Peer(pki.institution(CODE), f"spiffe://gongji-test/institution/{CODE}")
    assert identity.principal(peer) == identity.principal(peer) == Principal("institution", CODE)
    assert len(examined) == 1


def test_what_is_remembered_of_certificates_is_bounded(
    identity: PeerIdentity, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principals, "CACHED_CERTIFICATES", 2)
    for number in range(4):
        code = f"H6527010000{number}"
        identity.principal(Peer(pki.institution(code), f"spiffe://gongji-test/institution/{code}"))
    assert len(identity._known) == 2


def test_a_doubtful_certificate_stays_doubtful(identity: PeerIdentity, pki: Pki) -> None:
    peer = Peer(pki.institution(CODE), "spiffe://gongji-test/service/settlement")
    for _ in range(2):
        with pytest.raises(Refusal, match="may not vouch for service ids"):
            identity.principal(peer)


def test_a_handshake_without_a_spiffe_id_is_unauthenticated(identity: PeerIdentity, pki: Pki) -> None:
    with pytest.raises(Refusal, match="no SPIFFE id"):
        identity.principal(Peer(pki.institution(CODE), None))


def test_while_a_ca_is_replaced_both_are_believed(pki: Pki, tmp_path: Any) -> None:
    successor = Pki(tmp_path)
    both = tmp_path / "both.crt"
    both.write_bytes(pki.institutions.pem + successor.institutions.pem)
    identity = PeerIdentity(both, pki.service_ca_file, "gongji-test")
    for issuing in (pki, successor):
        peer = Peer(issuing.institution(CODE), f"spiffe://gongji-test/institution/{CODE}")
        assert identity.principal(peer) == Principal("institution", CODE)


def test_a_ca_file_without_a_certificate_is_named(pki: Pki, tmp_path: Any) -> None:
    empty = tmp_path / "empty.crt"
    empty.write_text("nothing")
    with pytest.raises(CaFileError, match=str(empty)):
        PeerIdentity(empty, pki.service_ca_file, "gongji-test")


def test_whom_a_new_ca_vouches_for_is_known_at_once(tmp_path: Path) -> None:
    pki, new = Pki(tmp_path), Authority("institutions 2")
    identity = PeerIdentity(pki.institution_ca_file, pki.service_ca_file, "gongji-test")
    name = f"spiffe://gongji-test/institution/{CODE}"
    peer = Peer(pki.files(new, CODE, [name]), name)
    pki.institution_ca_file.write_bytes(pki.institutions.pem + new.pem)
    assert identity.principal(peer) == Principal("institution", CODE)


def test_whom_a_ca_vouched_for_that_is_gone_is_refused_from_the_next_look_on(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    identity = PeerIdentity(pki.institution_ca_file, pki.service_ca_file, "gongji-test")
    peer = Peer(pki.institution(CODE), f"spiffe://gongji-test/institution/{CODE}")
    assert identity.principal(peer) == Principal("institution", CODE)
    pki.institution_ca_file.write_bytes(Authority("institutions 2").pem)
    identity.look()
    with pytest.raises(Refusal, match="may not vouch for institution ids"):
        identity.principal(peer)

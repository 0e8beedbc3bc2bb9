"""From a TLS peer to a principal: the SPIFFE id says who, the issuing CA says who may say so."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kit.certificates import issued_by
from kit.errors import Refusal
from kit.followed import Contents, Followed, Misfit

Kind = Literal["institution", "service"]

CACHED_CERTIFICATES = 4096
_SPIFFE = re.compile(
    r"spiffe://(?P<domain>[^/]+)/(?P<kind>institution|service)/(?P<name>[A-Za-z0-9][A-Za-z0-9_-]{0,63})"
)


class PeerContext(Protocol):
    """The part of a gRPC context that tells who the peer is."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What the TLS handshake established."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is at the other end of the connection."""

    kind: Kind
    name: str
    """The institution's fixmedins_code, or the service's name."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class Denylist(Protocol):
    """Who is refused although the certificate is good: suspended institutions, revoked serials."""

    def __call__(self, principal: Principal, serial_number: int) -> Refusal | None:
        """The refusal, or None to let them in. Called for every call, so it looks things up in memory."""
        ...


@dataclass(frozen=True, slots=True)
class _Peer:
    principal: Principal
    serial_number: int


_Issuers = dict[Kind, list[x509.Certificate]]


class CaFileError(Misfit):
    """A CA file holds no certificate that can be read; names the file."""


class PeerIdentity:
    """Establishes principals. The institutions' CA may vouch only for `/institution/…`, the services' for `/service/…`.

    Args:
        institution_ca: PEM file, may hold several certificates while one replaces another.
        service_ca: the same for services.
        trust_domain: the only domain that is believed.
        denylist: see `Denylist`.
    """

    def __init__(
        self, institution_ca: Path, service_ca: Path, trust_domain: str, denylist: Denylist | None = None
    ) -> None:
        self._files = (institution_ca, service_ca)
        self._followed = Followed("the CAs", self._files, self._issuers_of)
        self._issuers = self._followed.current()
        self._trust_domain = trust_domain
        self._denylist = denylist
        self._known: OrderedDict[bytes, _Peer | str] = OrderedDict()

    def look(self) -> None:
        """Look at the files now: whoever a handshake lets in must be known to the next call. In any thread."""
        self._followed.look()

    def authorities(self) -> Sequence[bytes]:
        """What is believed of the institutions' file and of the services', in PEM."""
        return self._followed.contents()

    def principal(self, context: PeerContext) -> Principal:
        """The peer's principal.

        Raises:
            Refusal: `UNAUTHENTICATED` if the certificate does not establish one, else what the denylist says.
        """
        self._believe(self._followed.current())
        handshake = context.auth_context()
        peer = self._peer(_first(handshake, "x509_pem_cert"), _first(handshake, "peer_spiffe_id"))
        if self._denylist and (refusal := self._denylist(peer.principal, peer.serial_number)):
            raise refusal
        return peer.principal

    def _believe(self, issuers: _Issuers) -> None:
        if issuers is not self._issuers:
            self._issuers = issuers
            self._known.clear()

    def _issuers_of(self, contents: Contents) -> _Issuers:
        institutions, services = map(_certificates, contents, self._files)
        return {"institution": institutions, "service": services}

    def _peer(self, pem: bytes | None, spiffe_id: bytes | None) -> _Peer:
        if pem is None or spiffe_id is None:
            raise _unauthenticated("the certificate carries no SPIFFE id (exactly one URI is expected)")
        known = self._known.get(pem)
        if known is None:
            # Whoever comes for the first time may be vouched for by a CA that has just been added.
            self._believe(self._followed.look())
            known = self._known[pem] = self._examine(pem, spiffe_id.decode("utf-8", "replace"))
            while len(self._known) > CACHED_CERTIFICATES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(pem)
        if isinstance(known, str):
            raise _unauthenticated(known)
        return known

    def _examine(self, pem: bytes, spiffe_id: str) -> _Peer | str:
        match = _SPIFFE.fullmatch(spiffe_id)
        if match is None:
            return (
                "the SPIFFE id has another form than spiffe://DOMAIN/institution/CODE or spiffe://DOMAIN/service/NAME"
            )
        if match["domain"] != self._trust_domain:
            return f"this environment trusts {self._trust_domain}, the certificate is of another domain"
        kind = cast("Kind", match["kind"])
        certificate = x509.load_pem_x509_certificate(pem)
        if not any(issued_by(certificate, issuer) for issuer in self._issuers[kind]):
            return f"the certificate's issuer may not vouch for {kind} ids"
        return _Peer(Principal(kind, match["name"]), certificate.serial_number)


def _unauthenticated(message: str) -> Refusal:
    return Refusal("UNAUTHENTICATED", message)


def _first(handshake: Mapping[str, Iterable[bytes]], key: str) -> bytes | None:
    return next(iter(handshake.get(key, ())), None)


def _certificates(pem: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CaFileError(f"{path} holds no PEM certificate that can be read: {error}") from error


def pem_of(certificate: x509.Certificate) -> bytes:
    """The certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)

"""What both ends of gRPC show and believe, followed while their files are replaced."""

from pathlib import Path
from typing import Protocol

import grpc

from kit.certificates import check_pair, issued_by, read
from kit.followed import Contents, Followed, Misfit


class ServerSettings(Protocol):
    """The files of a server."""

    @property
    def tls_cert_file(self) -> Path: ...  # noqa: D102 - described in ServiceSettings
    @property
    def tls_key_file(self) -> Path: ...  # noqa: D102
    @property
    def institution_ca_file(self) -> Path: ...  # noqa: D102
    @property
    def service_ca_file(self) -> Path: ...  # noqa: D102


class ServerFiles:
    """A server's certificate and the CAs of its callers.

    A change is taken up only if key and certificate belong together, the certificate is good today, and a CA of the
    services has issued it: anything else would be believed by nobody.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._file = settings.tls_cert_file
        self._authorities = settings.service_ca_file
        files = (self._file, settings.tls_key_file, settings.institution_ca_file, self._authorities)
        self._followed = Followed("the server's certificate and the CAs of its callers", files, _of_server, self._check)
        self._given = self._followed.current()

    def certificate(self) -> bytes:
        """The certificate that is in use, in PEM."""
        return self._followed.contents()[0]

    def first(self) -> grpc.ServerCertificateConfiguration:
        """What the server begins with."""
        return self._given

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What the next handshake is made with, None if that is as before."""
        now = self._followed.look()
        if now is self._given:
            return None
        self._given = now
        return now

    def _check(self, contents: Contents) -> None:
        pem, key, _institutions, services = contents
        leaf = check_pair(pem, key, self._file)
        if not any(issued_by(leaf, authority) for authority in read(services, self._authorities)):
            raise Misfit(f"{self._file} was not issued by a CA of {self._authorities}")


def _of_server(contents: Contents) -> grpc.ServerCertificateConfiguration:
    pem, key, institutions, services = contents
    return grpc.ssl_server_certificate_configuration([(key, pem)], root_certificates=institutions + b"\n" + services)


class ClientFiles(Followed[grpc.ChannelCredentials]):
    """A caller's certificate and the CA of servers.

    Args:
        cert: what the caller shows.
        key: the key of that.
        ca: who vouches for servers.
    """

    def __init__(self, cert: Path, key: Path, ca: Path) -> None:
        def check(contents: Contents) -> None:
            check_pair(contents[0], contents[1], cert)
            read(contents[2], ca)

        super().__init__("the certificate of calls to others and the CA of servers", (cert, key, ca), _of_client, check)


def _of_client(contents: Contents) -> grpc.ChannelCredentials:
    pem, key, authorities = contents
    return grpc.ssl_channel_credentials(authorities, private_key=key, certificate_chain=pem)

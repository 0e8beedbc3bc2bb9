"""The throw-away authorities vouch as production's do, and gRPC believes them."""

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gongji_local import certificates
from gongji_local.certificates import CertificateFiles, Certificates
from gongji_local.errors import StackError
from kit.auth.principals import PeerIdentity, Principal

INSTITUTION = "H65270100001"


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def loaded(files: CertificateFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.cert.read_bytes())


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_institutions_and_services_have_separate_authorities(made: Certificates) -> None:
    institution, service = loaded(made.institution(INSTITUTION)), loaded(made.service("binding"))
    institution.verify_directly_issued_by(made.institutions.certificate)
    service.verify_directly_issued_by(made.services.certificate)
    with pytest.raises(ValueError, match="Issuer"):
        institution.verify_directly_issued_by(made.services.certificate)


def test_kafka_believes_neither_institutions_nor_services_but_its_own_authority(made: Certificates) -> None:
    user, broker = loaded(made.kafka_user("binding")), loaded(made.kafka_broker())
    for certificate in (user, broker):
        certificate.verify_directly_issued_by(made.kafka.certificate)
    for other in (loaded(made.service("binding")), loaded(made.institution(INSTITUTION))):
        with pytest.raises(ValueError, match="Issuer"):
            other.verify_directly_issued_by(made.kafka.certificate)


def test_a_user_of_kafka_is_the_common_name_and_cannot_pose_as_the_broker(made: Certificates) -> None:
    certificate = loaded(made.kafka_user("topics-check"))
    assert certificate.subject.rfc4514_string() == "CN=topics-check"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    for name in ("Binding", "binding,CN=admin", "", "../admin"):
        with pytest.raises(StackError, match="a user of Kafka"):
            made.kafka_user(name)


def test_an_authority_may_not_make_further_authorities(made: Certificates) -> None:
    for authority in (made.institutions, made.services, made.kafka):
        limits = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert limits.critical
        assert limits.value == x509.BasicConstraints(ca=True, path_length=0)


def test_a_service_has_one_spiffe_id_and_this_machines_names(made: Certificates) -> None:
    names = names_of(loaded(made.service("settlement")))
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://gongji-local/service/settlement"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_an_institution_may_call_but_not_serve(made: Certificates) -> None:
    certificate = loaded(made.institution(INSTITUTION))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert len(list(names_of(certificate))) == 1


def test_keys_are_private(made: Certificates, tmp_path: Path) -> None:
    made.service("portal")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("*.key")}
    assert modes == {0o600}


def test_what_was_made_is_found_again(made: Certificates, tmp_path: Path) -> None:
    before = loaded(made.institution(INSTITUTION)).serial_number
    assert loaded(Certificates(tmp_path).institution(INSTITUTION)).serial_number == before


def test_a_certificate_that_is_about_to_expire_is_made_anew(
    made: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded(made.service("notify"))
    almost_expired = before.not_valid_after_utc - timedelta(days=3)
    monkeypatch.setattr(certificates, "real_now", lambda: almost_expired)
    assert loaded(made.service("notify")).serial_number != before.serial_number


def test_what_an_earlier_authority_signed_is_made_anew(made: Certificates, tmp_path: Path) -> None:
    before = loaded(made.service("notify")).serial_number
    for file in tmp_path.glob("services-ca.*"):
        file.unlink()
    again = Certificates(tmp_path)
    after = loaded(again.service("notify"))
    assert after.serial_number != before
    after.verify_directly_issued_by(again.services.certificate)


@pytest.mark.parametrize("code", ["", "../../etc/x", "H6527010000", "h65270100001", "H65270100001\n"])
def test_a_code_that_is_none_gets_no_certificate(made: Certificates, code: str) -> None:
    with pytest.raises(StackError, match="No certificate is made"):
        made.institution(code)


@pytest.mark.parametrize("name", ["", "a/b", "Binding", ".."])
def test_a_service_name_that_is_none_gets_no_certificate(made: Certificates, name: str) -> None:
    with pytest.raises(StackError, match="No certificate is made"):
        made.service(name)


async def test_grpc_believes_them_and_tells_the_principal(made: Certificates) -> None:
    principals = PeerIdentity(made.institutions.file, made.services.file, "gongji-local")
    server, port = await echo_server(made, principals)
    try:
        assert await call(port, made, made.institution(INSTITUTION)) == str(Principal("institution", INSTITUTION))
        assert await call(port, made, made.service("portal")) == str(Principal("service", "portal"))
    finally:
        await server.stop(None)


async def echo_server(made: Certificates, principals: PeerIdentity) -> tuple[grpc.aio.Server, int]:
    """A server that answers with whom it takes the caller for."""

    async def who(_request: bytes, context: Any) -> bytes:
        return str(principals.principal(context)).encode()

    handler = grpc.method_handlers_generic_handler("trial.Trial", {"Who": grpc.unary_unary_rpc_method_handler(who)})
    own = made.service("binding")
    roots = made.institutions.file.read_bytes() + made.services.file.read_bytes()
    credentials = grpc.ssl_server_credentials(
        [(own.key.read_bytes(), own.cert.read_bytes())], roots, require_client_auth=True
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([handler])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return server, port


async def call(port: int, made: Certificates, files: CertificateFiles) -> str:
    credentials = grpc.ssl_channel_credentials(
        made.services.file.read_bytes(), files.key.read_bytes(), files.cert.read_bytes()
    )
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        method: Any = channel.unary_unary("/trial.Trial/Who")
        answer: bytes = await method(b"", timeout=5)
        return answer.decode()

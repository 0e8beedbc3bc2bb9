"""On one day settlement gets another certificate, another database password and another data key, and no bill fails."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from cryptography import x509
from support.families import Families, Family
from typer.testing import CliRunner

from gongji_local.certificates import CertificateFiles, Certificates
from gongji_local.stack import Stack
from kit.__main__ import app
from kit.testing import eventually

FAMILIES = 2
_END_LISTENING = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1 AND query LIKE 'LISTEN%'
"""
_LISTENING_SINCE = """
SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND query LIKE 'LISTEN%' AND backend_start > $2
"""


async def restart(stack: Stack, **environment: str) -> None:
    await asyncio.to_thread(stack.stop_service, "settlement")
    await asyncio.to_thread(stack.start_service, "settlement", environment)


class Login:
    """Settlement's role, and the files with its password."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        url = urlsplit(stack.environment("settlement")["GONGJI_DATABASE_URL"])
        self.role, self.first = url.username or "", url.password or ""
        self.file, self.other = folder / "password", folder / "password.other"
        place = f"{self.role}@{url.hostname}:{url.port}"
        self.url = urlunsplit(url._replace(netloc=place, query=f"passwordfile={self.file}"))

    async def has(self, password: str) -> None:
        administrator = await asyncpg.connect(self.stack.info.postgres_admin_url)
        await administrator.execute(f"ALTER ROLE {self.role} PASSWORD '{password}'")
        await administrator.close()

    async def listens_anew(self) -> None:
        """The connection ends on which settlement listens, which no bill needs; it logs in again."""
        administrator = await asyncpg.connect(self.stack.info.postgres_admin_url)
        before = await administrator.fetchval("SELECT clock_timestamp()")
        assert await administrator.fetchval(_END_LISTENING, self.role)

        async def is_back() -> bool:
            return bool(await administrator.fetchval(_LISTENING_SINCE, self.role, before))

        await eventually(is_back)
        await administrator.close()


@pytest.fixture
async def login(stack: Stack, tmp_path: Path) -> AsyncIterator[Login]:
    login = Login(stack, tmp_path)
    yield login
    await login.has(login.first)
    await restart(stack)


@pytest.fixture
def ring(stack: Stack) -> Callable[[str, str], None]:
    """A command for settlement's ring."""
    path = stack.environment("settlement")["GONGJI_KEYRING_FILE"]

    def run(command: str, key_id: str) -> None:
        done = CliRunner().invoke(app, ["keyring", command, path, key_id])
        assert done.exit_code == 0, done.output

    return run


class Load:
    """Families whose bills are settled one after the other, and what became of them."""

    def __init__(self) -> None:
        self.settled = 0
        self.failed: list[BaseException] = []

    @asynccontextmanager
    async def of(self, families: Sequence[Family]) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._settle(family)) for family in families]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, family: Family) -> None:
        while True:
            try:
                assert (await family.settle("child", 100)).split.acct_mulaid_pay == 100
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not happen
                self.failed.append(error)
                return
            self.settled += 1

    async def goes_on(self) -> None:
        before = self.settled
        await eventually(lambda: bool(self.failed) or self.settled >= before + 2 * FAMILIES)
        assert self.failed == []


def renewed(stack: Stack, service: str) -> int:
    """Another certificate of the same CA is in the place of a service's own; its serial number."""
    environment = stack.environment(service)
    cert, key = Path(environment["GONGJI_TLS_CERT_FILE"]), Path(environment["GONGJI_TLS_KEY_FILE"])
    beside = CertificateFiles(cert.with_suffix(".new"), key.with_suffix(".key-new"))
    new = Certificates(stack.folder.tls).services.issue(f"service/{service}", beside, server=True)
    serial = x509.load_pem_x509_certificate(new.cert.read_bytes()).serial_number
    new.key.replace(key)
    new.cert.replace(cert)
    return serial


async def shown(stack: Stack, service: str) -> int:
    """The serial number of the certificate that a service shows."""
    tls = stack.service_tls("portal")
    context = ssl.create_default_context(cafile=str(tls.ca))
    context.load_cert_chain(tls.cert, tls.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = stack.info.services[service].grpc_address.rpartition(":")
    _reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_certificates_password_and_data_key_are_replaced_while_bills_are_settled(
    families: Families, stack: Stack, login: Login, ring: Callable[[str, str], None]
) -> None:
    settling = [await families.make({"father": 1_000_000}) for _ in range(FAMILIES)]
    login.file.write_text(login.first)
    ring("add", "k2")
    ring("activate", "k2")
    await restart(stack, GONGJI_DATABASE_URL=login.url)

    load = Load()
    async with load.of(settling):
        await load.goes_on()
        for service in ("settlement", "binding"):
            serial = await asyncio.to_thread(renewed, stack, service)
            assert await shown(stack, service) == serial
            await load.goes_on()

        done = await asyncio.to_thread(stack.run_command, "settlement", "reencrypt", "--batch", "3")
        assert done.returncode == 0, done.stderr
        assert "everything is under k2; k1 may be taken out of the ring" in done.stdout

        login.other.write_text("second")
        await load.goes_on()
        await login.has("second")
        await login.listens_anew()
        await load.goes_on()
        login.file.write_text("second")
        login.other.unlink()
        await login.listens_anew()
        await load.goes_on()
    ring("remove", "k1")

"""One suite for every register that names can be checked against."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from identity.domain.certificate import Certificate, CertificateType
from identity.memory import MemoryRepository
from identity.platform_access import by_token
from identity.regional_platform import Patience, RegionalPlatform, client
from identity.registry import ImportedRegister, RealNameRegistry
from identity.testing import ADULT, NAME, identity_card, person
from identity.testing_platform import TestPlatform
from kit.testing import MemoryWork
from kit.testing_tls import Pki

PASSPORT = Certificate(CertificateType.PASSPORT, "G12345678")
KEPT = person(certificates=(identity_card(), PASSPORT))


class Contract:
    @pytest.mark.parametrize("certificate", KEPT.certificates, ids=["identity card", "passport"])
    @pytest.mark.parametrize("name", [NAME, " 买买提 • 艾力 "])
    async def test_name_and_certificate_together_give_the_number(
        self, registry: RealNameRegistry, certificate: Certificate, name: str
    ) -> None:
        assert await registry.psn_no_of(name, certificate) == "P1"

    @pytest.mark.parametrize("name", ["李四", "", "买买提", '"}', "\0", "💥" * 50])
    async def test_another_name_gives_nobody(self, registry: RealNameRegistry, name: str) -> None:
        assert await registry.psn_no_of(name, identity_card()) is None

    async def test_another_number_or_another_type_gives_nobody(self, registry: RealNameRegistry) -> None:
        assert await registry.psn_no_of(NAME, identity_card(ADULT, 2)) is None
        assert await registry.psn_no_of(NAME, replace(PASSPORT, type=CertificateType.OTHER)) is None


class TestImported(Contract):
    @pytest.fixture
    def registry(self) -> RealNameRegistry:
        repository = MemoryRepository()
        repository.persons["P1"] = KEPT
        return ImportedRegister(MemoryWork(repository))


class TestRegional(Contract):
    @pytest.fixture
    async def registry(self, tmp_path: Path) -> AsyncIterator[RealNameRegistry]:
        pki, token = Pki(tmp_path), tmp_path / "token"
        token.write_text("t" * 32)
        async with TestPlatform(pki.service("platform")) as platform:
            for certificate in KEPT.certificates:
                platform.keep("P1", certificate.type, certificate.number, NAME)
            connections = client(Patience(), pki.service_ca_file)
            regional = RegionalPlatform(platform.url, connections, by_token(token))
            yield regional
            await regional.close()

"""The real-name check: whom name and certificate belong to, according to a register of insured persons."""

from typing import Protocol

from identity.domain.certificate import Certificate
from identity.repository import Repository
from kit.db import Work


class RealNameRegistry(Protocol):
    """The port to a register: the imported one, or the regional platform (`identity.regional_platform`)."""

    async def psn_no_of(self, name: str, certificate: Certificate) -> str | None:
        """psn_no of the one insured person with this name and certificate; None without saying which is wrong.

        Raises:
            RegistryUnavailable: the register gave no answer, which says nothing about the person.
        """
        ...


class ImportedRegister:
    """The register that `ImportInsured` loaded."""

    def __init__(self, work: Work[Repository]) -> None:
        self._work = work

    async def psn_no_of(self, name: str, certificate: Certificate) -> str | None:
        """See the port."""
        async with self._work() as repository:
            return await repository.psn_no_by_name(name, certificate)

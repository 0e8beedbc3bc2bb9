"""Institutions in one transaction."""

from collections.abc import Sequence
from typing import Protocol

from identity.domain.institution import Institution, KnownInstitution


class InstitutionRows(Protocol):
    """Institutions."""

    async def lock_institution(self, fixmedins_code: str) -> KnownInstitution | None:
        """The institution; nobody else registers one of this code meanwhile, also if there is none yet."""
        ...

    async def institution(self, fixmedins_code: str) -> Institution | None:
        """The institution, unlocked."""
        ...

    async def save_institution(self, known: KnownInstitution) -> None:
        """Keep an institution, which is new or locked, as it is now."""
        ...

    async def institutions_by_code(
        self, admdvs_prefix: str, after: str, limit: int, *, suspended_only: bool
    ) -> Sequence[Institution]:
        """Institutions whose region begins so, by rising code, after a code."""
        ...

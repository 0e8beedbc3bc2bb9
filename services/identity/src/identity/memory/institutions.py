"""Institutions as a dictionary."""

from collections.abc import Sequence

from identity.domain.institution import Institution, KnownInstitution


class MemoryInstitutions:
    """See `identity.repository.institutions`."""

    def __init__(self) -> None:
        super().__init__()
        self.institutions: dict[str, KnownInstitution] = {}

    async def lock_institution(self, fixmedins_code: str) -> KnownInstitution | None:
        """See the protocol."""
        return self.institutions.get(fixmedins_code)

    async def institution(self, fixmedins_code: str) -> Institution | None:
        """See the protocol."""
        known = self.institutions.get(fixmedins_code)
        return known.institution if known else None

    async def save_institution(self, known: KnownInstitution) -> None:
        """See the protocol."""
        self.institutions[known.institution.fixmedins_code] = known

    async def institutions_by_code(
        self, admdvs_prefix: str, after: str, limit: int, *, suspended_only: bool
    ) -> Sequence[Institution]:
        """See the protocol."""
        found = [
            known.institution
            for code, known in sorted(self.institutions.items())
            if code > after
            and known.institution.admdvs.startswith(admdvs_prefix)
            and (known.institution.suspended or not suspended_only)
        ]
        return found[:limit]

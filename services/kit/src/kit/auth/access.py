"""Which principals may call which method: one table per service, and what is not in it is refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.auth.assertions import Assertion
from kit.auth.principals import Principal
from kit.errors import Refusal

PORTAL = Principal("service", "portal")
"""The one service through which people come."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method; build with `institutions`, `services` and `people`, combine with `|`."""

    any_institution: bool = False
    service_names: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def __or__(self, other: "Access") -> "Access":
        return Access(
            self.any_institution or other.any_institution,
            self.service_names | other.service_names,
            self.roles | other.roles,
        )

    def check(self, principal: Principal, assertion: Assertion | None) -> None:
        """Return if they may.

        Raises:
            Refusal: `UNAUTHENTICATED` if only the assertion about a person is missing, else `FORBIDDEN`.
        """
        if self._admits(principal, assertion):
            return
        if self.roles and principal == PORTAL and assertion is None:
            raise Refusal("UNAUTHENTICATED", "this call is made for a person: send x-gongji-assertion")
        raise Refusal("FORBIDDEN", f"{principal} may not call this")

    def _admits(self, principal: Principal, assertion: Assertion | None) -> bool:
        if principal.kind == "institution":
            return self.any_institution
        if principal.name in self.service_names:
            return True
        return principal == PORTAL and assertion is not None and not self.roles.isdisjoint(assertion.roles)


AccessTable = Mapping[str, Access]
"""From `/gongji.binding.v1.ReviewService/ClaimApplication` to who may call it."""


def institutions() -> Access:
    """Every institution that is not suspended."""
    return Access(any_institution=True)


def services(*names: str) -> Access:
    """These services, on their own behalf."""
    return Access(service_names=frozenset(names))


def people(*roles: str) -> Access:
    """People with one of these roles, through the portal."""
    return Access(roles=frozenset(roles))


def uncovered(server_methods: Iterable[str], table: AccessTable) -> set[str]:
    """The methods that nobody may call because the table does not have them; a test wants none."""
    return set(server_methods) - set(table)

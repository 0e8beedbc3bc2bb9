"""What identity keeps: the protocol of the repository, as service and tests know it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from identity.domain.certificate import Certificate
from identity.domain.institution import Institution, KnownInstitution
from identity.domain.person import Person
from identity.domain.visit import RemoteFiling, Voucher
from kit.outbox import Outbox

RECOGNISED = "RECOGNISED"
"""The outcome of an access that was not refused."""


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the access log: who was told what about whom, or was refused."""

    occurred_at: datetime
    caller: str
    """Principal, and the person behind it if there is one."""
    operation: Literal["IDENTIFY", "GET_PERSON"]
    means: str
    """mdtrt_cert_type that was shown, or the way the caller is entitled."""
    outcome: str
    """RECOGNISED, or the reason of the refusal."""
    request_id: str
    psn_no: str | None = None
    """None if nobody was recognised."""
    jti: UUID | None = None
    """Of the visit credential that was given out."""


class Repository(Protocol):
    """One transaction's view. Methods named `lock…` keep what they return from changing until it ends."""

    @property
    def outbox(self) -> Outbox:
        """Facts to be told, in the same transaction."""
        ...

    async def lock_import(self) -> None:
        """Wait for an import under way elsewhere; persons are created only under this lock."""
        ...

    async def lock_persons(self, psn_nos: Sequence[str]) -> Mapping[str, Person]:
        """Those of these persons that exist."""
        ...

    async def person(self, psn_no: str) -> Person | None:
        """The person, unlocked."""
        ...

    async def save_persons(self, persons: Sequence[Person]) -> None:
        """Keep these persons, which are new or locked, as they are now."""
        ...

    async def owners(self, certificates: Sequence[Certificate]) -> Mapping[Certificate, str]:
        """psn_no by certificate, for those on record."""
        ...

    async def psn_no_by_name(self, name: str, certificate: Certificate) -> str | None:
        """Whom name and certificate belong to, both together; None without saying which is wrong."""
        ...

    async def psn_no_by_card(self, number: str, card_sn: str) -> str | None:
        """Whom a certificate's number and a social security card belong to, both together."""
        ...

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """Keep the filing; the earlier one if the same was filed before."""
        ...

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """All filings of a person, past ones included."""
        ...

    async def add_voucher(self, token: str, voucher: Voucher, forget_before: datetime) -> None:
        """Keep a voucher by the keyed hash of its token, and forget the person's that ran out before a moment."""
        ...

    async def lock_voucher(self, token: str) -> Voucher | None:
        """The voucher of a token."""
        ...

    async def bind_voucher(self, token: str, fixmedins_code: str) -> None:
        """Note the institution that a locked voucher is bound to."""
        ...

    async def lock_institution(self, fixmedins_code: str) -> KnownInstitution | None:
        """The institution; nobody else registers one of this code meanwhile, also if there is none yet."""
        ...

    async def institution(self, fixmedins_code: str) -> Institution | None:
        """The institution, unlocked."""
        ...

    async def save_institution(self, known: KnownInstitution) -> None:
        """Keep an institution, which is new or locked, as it is now."""
        ...

    async def log_access(self, access: Access) -> None:
        """Append to the access log."""
        ...

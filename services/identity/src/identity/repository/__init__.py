"""What identity keeps: the protocol of the repository, as service and tests know it; a file for each noun."""

from typing import Protocol

from identity.repository.access_log import RECOGNISED, Access, AccessRows
from identity.repository.imports import ImportRows
from identity.repository.institutions import InstitutionRows
from identity.repository.persons import PersonRows
from identity.repository.remote_care import RemoteCareRows
from identity.repository.vouchers import VoucherRows
from kit.outbox import Outbox

__all__ = ["RECOGNISED", "Access", "Repository"]


class Repository(PersonRows, ImportRows, RemoteCareRows, VoucherRows, InstitutionRows, AccessRows, Protocol):
    """One transaction's view. Methods named `lock…` keep what they return from changing until it ends."""

    @property
    def outbox(self) -> Outbox:
        """Facts to be told, in the same transaction."""
        ...

"""The repository on PostgreSQL: rows to domain and back; a file for each noun."""

from identity.postgres.access_log import PostgresAccessLog
from identity.postgres.enrolments import PostgresEnrolments
from identity.postgres.imports import PostgresImports
from identity.postgres.institution_changes import PostgresInstitutionChanges
from identity.postgres.institutions import PostgresInstitutions
from identity.postgres.remote_care import PostgresRemoteCare
from identity.postgres.verifications import PostgresVerifications
from identity.postgres.vouchers import PostgresVouchers
from identity.vault import Vault
from kit.db import Transaction
from kit.outbox import Outbox, PostgresOutbox

__all__ = ["PostgresRepository"]


class PostgresRepository(
    PostgresImports,
    PostgresEnrolments,
    PostgresRemoteCare,
    PostgresVouchers,
    PostgresInstitutions,
    PostgresInstitutionChanges,
    PostgresAccessLog,
    PostgresVerifications,
):
    """See `identity.repository.Repository`; lives as long as its transaction."""

    def __init__(self, transaction: Transaction, vault: Vault) -> None:
        super().__init__(transaction, vault)
        self.outbox: Outbox = PostgresOutbox(transaction, "identity")

"""E-vouchers on PostgreSQL."""

from datetime import datetime

from identity.domain.visit import Voucher
from identity.postgres.rows import Rows

_FORGET_VOUCHERS = "DELETE FROM voucher WHERE psn_no = $1 AND expires_at < $2"
_ADD_VOUCHER = "INSERT INTO voucher (token_index, psn_no, expires_at, fixmedins_code) VALUES ($1, $2, $3, $4)"
_LOCK_VOUCHER = "SELECT psn_no, expires_at, fixmedins_code FROM voucher WHERE token_index = $1 FOR UPDATE"
_BIND_VOUCHER = "UPDATE voucher SET fixmedins_code = $2 WHERE token_index = $1"


class PostgresVouchers(Rows):
    """See `identity.repository.vouchers`."""

    async def add_voucher(self, token: str, voucher: Voucher, forget_before: datetime) -> None:
        """See the protocol."""
        await self._raw.execute(_FORGET_VOUCHERS, voucher.psn_no, forget_before)
        index = self._vault.voucher_index(token)
        await self._raw.execute(_ADD_VOUCHER, index, voucher.psn_no, voucher.expires_at, voucher.fixmedins_code)

    async def lock_voucher(self, token: str) -> Voucher | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_LOCK_VOUCHER, self._vault.voucher_index(token))
        return Voucher(**dict(row)) if row else None

    async def bind_voucher(self, token: str, fixmedins_code: str) -> None:
        """See the protocol."""
        await self._raw.execute(_BIND_VOUCHER, self._vault.voucher_index(token), fixmedins_code)

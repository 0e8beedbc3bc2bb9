"""E-vouchers (医保电子凭证)."""

from datetime import datetime, timedelta

from identity.domain.refusals import NotEntitled, PersonNotFound
from identity.domain.visit import Voucher
from identity.repository import Repository
from identity.service.people import entitled, moment
from identity.vouchers import new_token
from kit.clock import Clock
from kit.db import Work

KEEP_VOUCHERS = timedelta(days=1)
"""How long a voucher that ran out is kept for questions; the next issue to the same person forgets it."""


class VoucherService:
    """Issues e-vouchers."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def issue_voucher(self, psn_no: str, caller_psn_no: str | None, lifetime: timedelta) -> tuple[str, datetime]:
        """A new e-voucher's token, which is kept nowhere, and the moment until which it can be used.

        Raises:
            NotEntitled: the caller is neither the person nor registered them as a minor.
            PersonNotFound: the person is not registered.
        """
        now, today = moment(self._clock)
        token, expires_at = new_token(), now + lifetime
        async with self._work() as repository:
            person = await repository.person(psn_no)
            if not entitled(caller_psn_no, psn_no, person, today):
                raise NotEntitled
            if person is None or person.registration is None:
                raise PersonNotFound("register this person first")
            await repository.add_voucher(token, Voucher(psn_no, expires_at), now - KEEP_VOUCHERS)
        return token, expires_at

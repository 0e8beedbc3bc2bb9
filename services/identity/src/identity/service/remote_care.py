"""Filings of care elsewhere (异地就医备案)."""

from datetime import date

from identity.domain.visit import RemoteFiling
from identity.repository import Repository
from identity.service.people import locked_person
from kit.db import Work
from kit.ids import uuid7


class RemoteCareService:
    """Filings of care elsewhere."""

    def __init__(self, work: Work[Repository]) -> None:
        self._work = work

    async def file_remote_care(self, psn_no: str, admdvs: str, valid_from: date, valid_to: date | None) -> RemoteFiling:
        """File care elsewhere; filing the same again gives the same filing.

        Raises:
            PersonNotFound: there is no such person.
        """
        async with self._work() as repository:
            await locked_person(repository, psn_no)
            return await repository.file_remote_care(RemoteFiling(uuid7(), psn_no, admdvs, valid_from, valid_to))

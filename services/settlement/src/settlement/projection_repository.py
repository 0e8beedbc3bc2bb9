"""Rows of what identity has told ⇄ the domain. Locks are taken in the order persons, accounts, institutions."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

import asyncpg

from kit.db import Transaction
from kit.inbox import Inbox, PostgresInbox
from settlement.account_repository import AccountRepository, PostgresAccountRepository
from settlement.domain.projection import Enrolled, InstitutionTold, PersonKnown
from settlement.domain.visit import InsuranceStatus, InsuranceType

_ADD_PEOPLE: Final = """
INSERT INTO person_fact (psn_no, sequence, as_of)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS n (psn_no, sequence, as_of) ORDER BY n.psn_no
ON CONFLICT DO NOTHING
"""
_LOCK_PEOPLE: Final = """
SELECT psn_no, sequence, as_of, died_on, died_sequence FROM person_fact
WHERE psn_no = ANY($1::text[]) ORDER BY psn_no FOR UPDATE
"""
_ENROLMENTS: Final = """
SELECT psn_no, sequence, as_of, valid_from, valid_to, insutype, insuplc_admdvs, psn_insu_stas, arrears
FROM person_enrolment WHERE psn_no = ANY($1::text[]) ORDER BY psn_no, valid_from
"""
_SAVE_PEOPLE: Final = """
UPDATE person_fact AS p SET sequence = n.sequence, as_of = n.as_of, died_on = n.died_on, died_sequence = n.died_sequence
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::date[], $5::bigint[])
     AS n (psn_no, sequence, as_of, died_on, died_sequence)
WHERE p.psn_no = n.psn_no
"""
_FORGET_ENROLMENTS: Final = "DELETE FROM person_enrolment WHERE psn_no = ANY($1::text[])"
_ADD_ENROLMENTS: Final = """
INSERT INTO person_enrolment
    (psn_no, sequence, as_of, valid_from, valid_to, insutype, insuplc_admdvs, psn_insu_stas, arrears)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::date[], $5::date[], $6::smallint[], $7::text[],
                     $8::smallint[], $9::boolean[])
"""
# One at a time and not by `unnest`, which would flatten the arrays of the periods; changes of institutions are rare.
_SAVE_INSTITUTION: Final = """
INSERT INTO institution_fact AS known (fixmedins_code, sequence, as_of, fixmedins_type, admdvs, designations_from,
                                       designations_to, remote_settlement, suspended, designated_from, designated_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (fixmedins_code) DO UPDATE
SET sequence = excluded.sequence, as_of = excluded.as_of, fixmedins_type = excluded.fixmedins_type,
    admdvs = excluded.admdvs, designations_from = excluded.designations_from,
    designations_to = excluded.designations_to, remote_settlement = excluded.remote_settlement,
    suspended = excluded.suspended, designated_from = excluded.designated_from,
    designated_to = excluded.designated_to
WHERE excluded.sequence > known.sequence
"""


class ProjectionRepository(AccountRepository, Protocol):
    """What identity has told, and the accounts that a death freezes, in one unit of work."""

    @property
    def inbox(self) -> Inbox:
        """Which events were taken in."""
        ...

    async def people(self, first: Sequence[PersonKnown]) -> dict[str, PersonKnown]:
        """All that is known of these persons, locked; those who were not known are added as given."""
        ...

    async def save_people(self, people: Sequence[PersonKnown]) -> None:
        """Write all that is known of locked persons."""
        ...

    async def save_institutions(self, told: Sequence[InstitutionTold]) -> None:
        """Write institutions, each code once and in order of code; what is not newer than what is known is dropped."""
        ...


class PostgresProjectionRepository(PostgresAccountRepository):
    """The same in one transaction. See `ProjectionRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.inbox = PostgresInbox(transaction)

    async def people(self, first: Sequence[PersonKnown]) -> dict[str, PersonKnown]:
        """See `ProjectionRepository.people`."""
        psn_nos = [person.psn_no for person in first]
        columns = ([person.sequence for person in first], [person.as_of for person in first])
        await self._raw.execute(_ADD_PEOPLE, psn_nos, *columns)
        rows = await self._raw.fetch(_LOCK_PEOPLE, psn_nos)
        enrolments = defaultdict[str, list[Enrolled]](list)
        for row in await self._raw.fetch(_ENROLMENTS, psn_nos):
            enrolments[row["psn_no"]].append(_enrolled(row))
        return {row["psn_no"]: PersonKnown(**dict(row), enrolments=tuple(enrolments[row["psn_no"]])) for row in rows}

    async def save_people(self, people: Sequence[PersonKnown]) -> None:
        """See `ProjectionRepository.save_people`."""
        await self._raw.execute(_SAVE_PEOPLE, *_person_columns(people))
        await self._raw.execute(_FORGET_ENROLMENTS, [person.psn_no for person in people])
        enrolments = [enrolled for person in people for enrolled in person.enrolments]
        await self._raw.execute(_ADD_ENROLMENTS, *_enrolment_columns(enrolments))

    async def save_institutions(self, told: Sequence[InstitutionTold]) -> None:
        """See `ProjectionRepository.save_institutions`."""
        await self._raw.executemany(_SAVE_INSTITUTION, [_institution_values(one) for one in told])


def _enrolled(row: asyncpg.Record) -> Enrolled:
    values = dict(row)
    values["insutype"] = InsuranceType(row["insutype"])
    values["psn_insu_stas"] = InsuranceStatus(row["psn_insu_stas"])
    return Enrolled(**values)


def _person_columns(people: Sequence[PersonKnown]) -> tuple[list[object], ...]:
    return (
        [person.psn_no for person in people],
        [person.sequence for person in people],
        [person.as_of for person in people],
        [person.died_on for person in people],
        [person.died_sequence for person in people],
    )


def _enrolment_columns(enrolments: Sequence[Enrolled]) -> tuple[list[object], ...]:
    return (
        [enrolled.psn_no for enrolled in enrolments],
        [enrolled.sequence for enrolled in enrolments],
        [enrolled.as_of for enrolled in enrolments],
        [enrolled.valid_from for enrolled in enrolments],
        [enrolled.valid_to for enrolled in enrolments],
        [int(enrolled.insutype) for enrolled in enrolments],
        [enrolled.insuplc_admdvs for enrolled in enrolments],
        [int(enrolled.psn_insu_stas) for enrolled in enrolments],
        [enrolled.arrears for enrolled in enrolments],
    )


def _institution_values(one: InstitutionTold) -> tuple[object, ...]:
    last = one.designations[-1] if one.designations else None
    return (
        one.fixmedins_code,
        one.sequence,
        one.as_of,
        int(one.fixmedins_type),
        one.admdvs,
        [period.valid_from for period in one.designations],
        [period.valid_to for period in one.designations],
        one.remote_settlement,
        one.suspended,
        last.valid_from if last else None,
        last.valid_to if last else None,
    )

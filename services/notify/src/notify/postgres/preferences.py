"""Preferences and settings on PostgreSQL."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from asyncpg import Record

from notify.domain.channels import Channel
from notify.domain.kinds import Kind
from notify.domain.planning import QuietHours, Recipient, Verified
from notify.domain.preferences import Preference
from notify.postgres.rows import Rows

# One round trip, for every batch of events makes it; each part is found by an index on the person.
_PEOPLE: Final = """
SELECT psn_no, channel, contact_id, verified_at, NULL AS kind, NULL AS language, NULL::time AS quiet_from,
    NULL::time AS quiet_until
FROM contact_point WHERE psn_no = ANY ($1::text[]) AND state = 'VERIFIED'
UNION ALL
SELECT psn_no, channel, NULL, NULL, kind, NULL, NULL, NULL
FROM preference WHERE psn_no = ANY ($1::text[]) AND NOT is_wanted
UNION ALL
SELECT psn_no, NULL, NULL, NULL, NULL, language, quiet_from, quiet_until
FROM person_setting WHERE psn_no = ANY ($1::text[])
"""
_SAVE_PREFERENCE: Final = """
INSERT INTO preference (psn_no, kind, channel, is_wanted) VALUES ($1, $2, $3, $4)
ON CONFLICT (psn_no, kind, channel) DO UPDATE SET is_wanted = excluded.is_wanted
"""
_SAVE_SETTINGS: Final = """
INSERT INTO person_setting (psn_no, language, quiet_from, quiet_until) VALUES ($1, $2, $3, $4)
ON CONFLICT (psn_no) DO UPDATE SET
    language = excluded.language, quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until
"""


class PostgresPreferences(Rows):
    """See `notify.repository.preferences`."""

    async def people(self, psn_nos: Collection[str]) -> dict[str, Recipient]:
        """See the protocol."""
        said: dict[str, list[Record]] = {}
        for row in await self._raw.fetch(_PEOPLE, list(psn_nos)):
            said.setdefault(row["psn_no"], []).append(row)
        return {psn_no: _recipient(psn_no, rows) for psn_no, rows in said.items()}

    async def save_preference(self, psn_no: str, preference: Preference) -> None:
        """See the protocol."""
        kind, channel = preference.kind.value, preference.channel.value
        await self._raw.execute(_SAVE_PREFERENCE, psn_no, kind, channel, preference.is_wanted)

    async def save_settings(self, psn_no: str, language: str, quiet: QuietHours | None) -> None:
        """See the protocol."""
        starts, ends = (quiet.starts, quiet.ends) if quiet else (None, None)
        await self._raw.execute(_SAVE_SETTINGS, psn_no, language, starts, ends)


def _recipient(psn_no: str, rows: Iterable[Record]) -> Recipient:
    contacts: dict[Channel, Verified] = {}
    unwanted: set[tuple[Kind, Channel]] = set()
    settings: dict[str, Any] = {}
    for row in rows:
        if row["contact_id"] is not None:
            contacts[Channel(row["channel"])] = Verified(row["contact_id"], row["verified_at"])
        elif row["kind"] is not None:
            unwanted.add((Kind(row["kind"]), Channel(row["channel"])))
        else:
            settings = {"language": row["language"], "quiet": _quiet(row)}
    return Recipient(psn_no, contacts=contacts, unwanted=frozenset(unwanted), **settings)


def _quiet(row: Record) -> QuietHours | None:
    return None if row["quiet_from"] is None else QuietHours(row["quiet_from"], row["quiet_until"])

"""What people choose; one transaction each."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from kit.db import Work
from notify.domain.planning import QuietHours, Recipient
from notify.domain.preferences import Preference, choose
from notify.repository import Repository


class _Kept:
    """Stands for what stays as it is; None is a choice of its own."""


KEPT: Final = _Kept()


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What of a person's settings becomes another."""

    language: str | None = None
    """None leaves it as it is."""
    quiet: QuietHours | _Kept | None = field(default=KEPT)
    """None for no quiet hours."""


class PreferenceService:
    """What people choose."""

    def __init__(self, work: Work[Repository], languages: Collection[str]) -> None:
        self._work = work
        self.languages = frozenset(languages)
        """Those that there are texts in."""

    async def read(self, psn_no: str) -> Recipient:
        """How a person wants to be told."""
        async with self._work() as repository:
            return await _recipient(repository, psn_no)

    async def prefer(self, psn_no: str, preference: Preference) -> Preference:
        """Keep what a person chose for one kind and channel.

        Raises:
            NoticeRequired: the rules leave no choice (R15).
        """
        chosen = choose(preference)
        async with self._work() as repository:
            await repository.save_preference(psn_no, chosen)
        return chosen

    async def change_settings(self, psn_no: str, change: SettingsChange) -> Recipient:
        """Change language, quiet hours or both; the person's settings afterwards."""
        async with self._work() as repository:
            await repository.lock_contacts(psn_no)
            before = await _recipient(repository, psn_no)
            quiet = before.quiet if isinstance(change.quiet, _Kept) else change.quiet
            await repository.save_settings(psn_no, change.language or before.language, quiet)
            return await _recipient(repository, psn_no)


async def _recipient(repository: Repository, psn_no: str) -> Recipient:
    return (await repository.people([psn_no])).get(psn_no) or Recipient(psn_no)

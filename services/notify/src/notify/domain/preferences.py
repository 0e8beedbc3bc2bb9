"""What a person chose: for each kind of notice and channel whether it is wanted; language; quiet hours."""

from collections.abc import Iterator
from dataclasses import dataclass

from notify.domain.channels import Channel
from notify.domain.kinds import REQUIRED, Kind
from notify.domain.planning import Recipient
from notify.domain.refusals import NotifyRefusal


@dataclass(frozen=True, slots=True)
class Preference:
    """Whether notices of a kind are wanted on a channel."""

    kind: Kind
    channel: Channel
    is_wanted: bool

    @property
    def is_fixed(self) -> bool:
        """Whether the rules leave no choice (R15)."""
        return self.channel is Channel.INBOX and self.kind in REQUIRED


class NoticeRequired(NotifyRefusal):
    """The rules require it in the inbox (R15)."""

    reason = "NOTICE_REQUIRED"
    message = "the rules require notices of this kind in the inbox; switch off another channel instead"


def choose(preference: Preference) -> Preference:
    """The preference, if the rules leave the choice.

    Raises:
        NoticeRequired: they do not.
    """
    if preference.is_fixed and not preference.is_wanted:
        raise NoticeRequired
    return preference


def preferences_of(told: Recipient) -> Iterator[Preference]:
    """All that a person can choose, and how it stands: by kind, then by channel."""
    for kind in Kind:
        for channel in Channel:
            is_wanted = told.keeps_in_inbox(kind) if channel is Channel.INBOX else (kind, channel) not in told.unwanted
            yield Preference(kind, channel, is_wanted)

"""Statements (对账单) of a personal account by period; days are Asia/Shanghai days, first and last included. In fen."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Period:
    """From a day to a day, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Summary:
    """What a period comes to."""

    opening_fen: int
    """The balance before its first entry."""
    came_in_fen: int
    went_out_fen: int
    """Not negative."""
    entry_count: int
    last_version: int
    """Of its newest entry; what is posted later is not of this statement. 0 if there is none."""

    @property
    def closing_fen(self) -> int:
        """The balance after its last entry."""
        return self.opening_fen + self.came_in_fen - self.went_out_fen


def masked_name(name: str) -> str:
    """The name with all but the first character masked: `张*`; a name of one character is masked whole."""
    return "*" if len(name) < len("张*") else name[0] + "*" * (len(name) - 1)

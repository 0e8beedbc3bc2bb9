"""The pledge (承诺书) that both sides sign: which text, told by its version and its hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from binding.domain.errors import NotFound, Refused


class PledgeNotCurrent(Refused):
    """The version that was signed is not the one in force."""

    reason = "PLEDGE_NOT_CURRENT"


class PledgeMissingError(Exception):
    """The configured version does not ship."""


@dataclass(frozen=True, slots=True)
class Pledge:
    """One version of the text."""

    version: str
    text: str
    sha256: str
    """Of the text in UTF-8, 64 hexadecimal digits: what a consent signs."""

    @classmethod
    def of(cls, version: str, text: str) -> "Pledge":
        """The version with the hash of its text."""
        return cls(version, text, hashlib.sha256(text.encode()).hexdigest())


class Pledges:
    """All versions, also those that only old applications have."""

    def __init__(self, by_version: Mapping[str, Pledge], current: str) -> None:
        if current not in by_version:
            raise PledgeMissingError(f"no pledge {current!r} ships; there are: {', '.join(sorted(by_version))}")
        self._by_version = dict(by_version)
        self.current = by_version[current]

    def get(self, version: str) -> Pledge:
        """A version, or the one in force for an empty one. Raises NotFound."""
        if not version:
            return self.current
        if version not in self._by_version:
            raise NotFound("there is no such version of the pledge")
        return self._by_version[version]

    def signed(self, version: str) -> Pledge:
        """The version that an application states. Raises PledgeNotCurrent unless it is the one in force."""
        if version != self.current.version:
            raise PledgeNotCurrent(
                "another version of the pledge is in force; show it, and send its version",
                {"pledge_version": self.current.version},
            )
        return self.current

"""What came of each folder: accepted, refused as its file says, or wrong."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from k8s_check.errors import CheckError
from k8s_check.kubectl import Answer

_EXPECTED: Final = re.compile(r"^# refused: (.+)$", re.MULTILINE)
_NOT_A_COMPLAINT: Final = re.compile(r"^\S+ serverside-applied( \(server dry run\))?$")
_MOST_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """One folder's."""

    name: str
    right: bool
    said: str
    seconds: float

    def line(self) -> str:
        """For the person at the terminal."""
        sign = "✓" if self.right else "✗"
        return f"  {sign} {self.name:<44} {self.seconds:5.1f} s  {self.said}"


def expected_refusals(folder: Path) -> Sequence[str]:
    """What a wrong manifest is to be refused with: the lines `# refused: …` of its kustomization.

    Raises:
        CheckError: it says none, so nothing would be asserted.
    """
    found = _EXPECTED.findall((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if not found:
        raise CheckError(
            f"{folder}/kustomization.yaml says no `# refused: MESSAGE`; a wrong manifest states its refusal"
        )
    return [each.strip() for each in found]


def accepted(name: str, answer: Answer, seconds: float, note: str = "") -> Verdict:
    """The verdict on manifests that must be taken."""
    if not answer.ok:
        return Verdict(name, right=False, said=f"was refused:\n{complaints(answer.text)}", seconds=seconds)
    return Verdict(name, right=True, said=f"{_applied(answer.text)} objects applied{note}", seconds=seconds)


def scattered(name: str, namespaces: Collection[str], seconds: float) -> Verdict:
    """The verdict on manifests whose objects are not all in one stated namespace."""
    places = ", ".join(each or "none stated" for each in sorted(namespaces)) or "none"
    return Verdict(name, right=False, said=f"is not in one namespace: {places}", seconds=seconds)


def refused(name: str, expected: Sequence[str], answer: Answer, seconds: float) -> Verdict:
    """The verdict on manifests that must not be taken: refused, and for the reasons that are stated."""
    if answer.ok:
        return Verdict(name, right=False, said="was ACCEPTED, though it is wrong", seconds=seconds)
    missing = [each for each in expected if each not in answer.text]
    if missing:
        said = "was refused, but not with\n" + "\n".join(f"      {each}" for each in missing)
        return Verdict(name, right=False, said=f"{said}\n    but with\n{complaints(answer.text)}", seconds=seconds)
    return Verdict(name, right=True, said=f"refused: {'; '.join(expected)}", seconds=seconds)


def complaints(text: str) -> str:
    """What the server did not like, without the list of what it took."""
    lines = [line for line in text.splitlines() if line.strip() and not _NOT_A_COMPLAINT.match(line)]
    return "\n".join(f"      {line}" for line in lines[:_MOST_LINES])


def _applied(text: str) -> int:
    return sum(1 for line in text.splitlines() if _NOT_A_COMPLAINT.match(line))

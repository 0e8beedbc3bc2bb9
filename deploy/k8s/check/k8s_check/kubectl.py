"""kubectl of the same version as the server, with bounded waits and nothing of the user's."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from k8s_check.errors import CheckError

STRICT: Final = ("--server-side", "--validate=strict", "--warnings-as-errors")
"""Unknown and doubled fields are refused, and a warning (Pod Security, a deprecated version) is a refusal too."""
FIELD_MANAGER: Final = "--field-manager=gongji-deploy"
TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said; both streams in one text."""

    ok: bool
    text: str


class Kubectl:
    """kubectl towards one server; what runs in `environ` finds the same.

    Args:
        program: where it is.
        config: the file that names the server and who asks.
        home: where it may keep what it finds out; the user's own home is left alone.
    """

    def __init__(self, program: Path, config: Path, home: Path) -> None:
        self._program = program
        self.environ = {"KUBECONFIG": str(config), "HOME": str(home), "PATH": f"{program.parent}:/usr/bin:/bin"}

    def ask(self, *arguments: str, given: str = "", timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
        """Run it; a refusal is an answer."""
        try:
            finished = subprocess.run(
                [str(self._program), *arguments],
                input=given,
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired:
            raise CheckError(f"`kubectl {' '.join(arguments[:3])}` took longer than {timeout_seconds:.0f} s") from None
        return Answer(finished.returncode == 0, finished.stdout)

    def need(self, *arguments: str, given: str = "", timeout_seconds: float = TIMEOUT_SECONDS) -> str:
        """Run it where a refusal is the end.

        Raises:
            CheckError: it was refused.
        """
        answer = self.ask(*arguments, given=given, timeout_seconds=timeout_seconds)
        if not answer.ok:
            raise CheckError(f"`kubectl {' '.join(arguments[:4])}` failed:\n{answer.text[-2_000:]}")
        return answer.text

    def apply(self, manifests: str, *, dry: bool = False, only: str = "") -> Answer:
        """Apply manifests strictly.

        Args:
            manifests: all of them.
            dry: the server checks everything and keeps nothing.
            only: a selector of labels; what it does not choose is left out.
        """
        options = (*(("--dry-run=server",) if dry else ()), *(("--selector", only) if only else ()))
        return self.ask("apply", *STRICT, FIELD_MANAGER, *options, "-f", "-", given=manifests)

"""What the READMEs tell people to type is at least something that a shell can read."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("services/*/README.md")), ROOT / "deploy/local/README.md"]
LINES = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shell_can_read_every_block_of_lines_to_type(readme: Path) -> None:
    for block in LINES.findall(readme.read_text(encoding="utf-8")):
        read = subprocess.run(["/bin/bash", "-n"], input=block, text=True, capture_output=True, check=False, timeout=20)
        assert (read.returncode, read.stderr) == (0, ""), block

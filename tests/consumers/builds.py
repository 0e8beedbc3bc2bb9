"""Makes each example runnable as somebody would who has nothing of Gongji but its contracts."""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples" / "consumers"
BIN: Final = ROOT / ".venv" / "bin"
NAMES: Final = ("python-aiokafka", "python-confluent", "java")
MEANWHILE: Final = Path(__file__).parent / "meanwhile"
BUILD_TIMEOUT_SECONDS: Final = 900
"""Of one step, with everything still to be fetched."""
RUN_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Example:
    """One example, ready to run."""

    name: str
    command: tuple[str, ...]

    def run(self, *arguments: str) -> list[str]:
        """What it prints until it ends, by line."""
        return run([*self.command, *arguments], timeout_seconds=RUN_TIMEOUT_SECONDS).splitlines()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """It runs on until SIGINT; its lines can be read from `stdout`."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell starts what runs in its background deaf to Ctrl-C, and deafness, unlike a handler, is inherited.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(  # noqa: S603 - what was just built
            [*self.command, *arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def meanwhile(self, folder: Path) -> list[str]:
        """Where it begins with a date while records are being published; see `meanwhile/`."""
        if self.name == "java":
            jar = self.command[-1]
            run(["javac", "-cp", jar, "-d", str(folder), str(MEANWHILE / "OfJava.java")])
            return run(["java", "-cp", f"{jar}:{folder}", "gongji.example.OfJava"]).split()
        python, consume = self.command
        script = MEANWHILE / f"of_{self.name.removeprefix('python-')}.py"
        code = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2])"
        return run([python, "-c", code, str(Path(consume).parent), str(script)]).split()


def build_all(folder: Path) -> Mapping[str, Example]:
    """All examples, built below `folder` or by Maven in their own."""
    wheel = build_wheel(folder / "wheel")
    built = {name: python_example(name, wheel, folder / name) for name in NAMES if name.startswith("python-")}
    return built | {"java": java_example()}


def build_wheel(folder: Path) -> Path:
    """The wheel of the contracts, from a copy, so that nothing that was built earlier gets into it."""
    source = folder / "source"
    shutil.copytree(ROOT / "protos", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    python = str(BIN / "python")
    uv("build", "--wheel", "--no-build-isolation", "--python", python, "--out-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def python_example(name: str, wheel: Path, folder: Path) -> Example:
    """An environment with the wheel and the client, and nothing else."""
    uv("venv", "--python", str(BIN / "python"), str(folder))
    python = str(folder / "bin" / "python")
    uv("pip", "sync", "--python", python, "--require-hashes", str(EXAMPLES / name / "requirements.txt"))
    uv("pip", "install", "--python", python, "--no-deps", str(wheel))
    uv("pip", "check", "--python", python)
    return Example(name, (python, str(EXAMPLES / name / "consume.py")))


def java_example() -> Example:
    """What Maven makes of it, with the classes that protoc makes of the contracts."""
    run(["mvn", "--quiet", "--batch-mode", "--file", str(EXAMPLES / "java" / "pom.xml"), "package"])
    return Example("java", ("java", "-jar", str(EXAMPLES / "java" / "target" / "consumer.jar")))


def uv(*arguments: str) -> None:
    """Run uv."""
    run([str(BIN / "uv"), arguments[0], "--quiet", *arguments[1:]])


def run(command: list[str], timeout_seconds: float = BUILD_TIMEOUT_SECONDS) -> str:
    """Run a command that has to succeed, and return what it printed; what it complained of is in the failure."""
    done = subprocess.run(  # noqa: S603 - the tools of this checkout, and what was just built
        command, capture_output=True, text=True, encoding="utf-8", timeout=timeout_seconds, check=False
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout

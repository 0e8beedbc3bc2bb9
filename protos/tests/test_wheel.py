"""The wheel of the contracts, installed alone: what a system that nobody here has met starts from."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
USE = """
import importlib, pathlib, sys
import gongji
(home,) = gongji.__path__
for file in sorted(pathlib.Path(home).rglob("*_pb2.py")):
    importlib.import_module(".".join(("gongji", *file.relative_to(home).with_suffix("").parts)))
assert not [name for name in sys.modules if name.partition(".")[0] in {"grpc", "kit", "aiokafka", "pydantic", "yaml"}]
from google.protobuf import descriptor_pool, message_factory
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.hex")):
    kind = descriptor_pool.Default().FindMessageTypeByName(file.stem)
    message = message_factory.GetMessageClass(kind).FromString(bytes.fromhex(file.read_text()))
    print(message.DESCRIPTOR.full_name, len(message.ListFields()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left beside the contracts."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "protos"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__", "vendor", "tests")
    )
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    (source / "dist").mkdir()
    done = subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True)
    return source / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def clean_python(wheel: Path) -> Path:
    """An environment with the wheel and what it says that it needs, and with nothing else."""
    environment = wheel.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
        (stated,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
    for name in needed(metadata.PathDistribution(site / Path(stated).parent)):
        install(name, site)
    return environment / "bin" / "python"


def needed(distribution: metadata.Distribution) -> Iterator[str]:
    """The distributions that are needed, and those that they need."""
    for requirement in distribution.requires or []:
        if "extra ==" not in requirement:
            name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
            yield name
            yield from needed(metadata.distribution(name))


def install(name: str, site: Path) -> None:
    """As the pinned requirements have it here; the index is asked for nothing."""
    distribution = metadata.distribution(name)
    for file in distribution.files or []:
        source = Path(str(distribution.locate_file(file)))
        if ".." not in file.parts and source.is_file():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, site / file)


def test_the_wheel_has_the_contracts_and_the_topics_and_no_service_s_code(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"buf", "gongji"}
    assert {name.rpartition(".")[2] for name in names if ".dist-info/" not in name} == {"py", "pyi", "typed", "yaml"}
    assert all(re.search(r"_pb2(_grpc)?\.pyi?$", name) for name in names if name.endswith((".py", ".pyi")))
    packed = {Path(name).name for name in names if name.startswith("gongji/topics/")}
    assert packed == {path.name for path in (ROOT / "topics").glob("*.yaml")}


def test_type_checkers_may_believe_the_stubs_of_every_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {path.name for path in (ROOT / "gongji").iterdir() if path.is_dir()}
    assert {name for name in names if name.endswith("py.typed")} == {f"gongji/{name}/py.typed" for name in packages}


def test_every_message_of_the_sources_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for contract in (ROOT / "gongji").rglob("*.proto"):
        assert str(contract.relative_to(ROOT).with_suffix("")) + "_pb2.py" in names


def test_the_wheel_asks_for_a_runtime_that_its_code_accepts() -> None:
    code = (ROOT / "gen/gongji/common/v1/reason_pb2.py").read_text(encoding="utf-8")
    major, minor, patch = re.findall(r"^ {4}(\d+),$", code, re.MULTILINE)[:3]
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert f"protobuf>={major}.{minor}.{patch},<{int(major) + 1}" in stated


def test_installed_alone_it_reads_every_event(clean_python: Path) -> None:
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [clean_python, "-I", "-c", USE, ROOT / "examples"], check=False, capture_output=True, text=True, env=clean
    )
    assert done.stderr == ""
    read = dict(line.split() for line in done.stdout.splitlines())
    assert read.keys() == {path.stem for path in (ROOT / "examples").glob("*.hex")}
    assert "0" not in read.values()

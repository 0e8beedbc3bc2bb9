"""`python -m gongji_local.contract_versions NAME`: keep the events' contracts as they are, for all versions to come.

A kept version is a folder of `protos/versions`: the descriptors of the events with all that they import, and the golden
message of each event with its topic. Tests hold every later version to it.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gongji_local.topic_docs.contracts import ContractsError, compiled
from kit.topics import CatalogueError, load_catalogue

DESCRIPTORS: Final = "descriptors.binpb"
GOLDEN: Final = "golden.json"
_EVENTS: Final = re.compile(r"^gongji/[a-z]+/events/v[0-9]+/")
_NAME: Final = re.compile(r"^[0-9]+([.-][0-9]+)*$")


def descriptors(protos: Path) -> FileDescriptorSet:
    """The files of the events and all that they import, without comments and calls, in the compiler's order."""
    files = {file.name: file for file in compiled(protos).file}
    wanted = {name for event in files if _EVENTS.match(event) for name in _with_imports(event, files)}
    kept = FileDescriptorSet(file=[file for name, file in files.items() if name in wanted])
    for file in kept.file:
        file.ClearField("source_code_info")
        file.ClearField("service")
    return kept


def _with_imports(name: str, files: dict[str, FileDescriptorProto]) -> Iterator[str]:
    yield name
    for imported in files[name].dependency:
        yield from _with_imports(imported, files)


def golden(protos: Path) -> dict[str, dict[str, str | int]]:
    """The topic with its partitions, and the golden bytes of each event, by its full name."""
    return {
        name: {
            "topic": topic.name,
            "partitions": topic.partitions,
            "hex": "".join((protos / "examples" / f"{name}.hex").read_text(encoding="utf-8").split()),
        }
        for topic in load_catalogue(protos / "topics").topics.values()
        for name in topic.schema
    }


def keep(protos: Path, folder: Path) -> None:
    """Write a version's folder.

    Raises:
        ContractsError: the contracts do not compile.
        CatalogueError: a topic's file cannot be understood.
        FileNotFoundError: an event has no golden message.
        FileExistsError: that version is kept already, and stays as it is.
    """
    kept = descriptors(protos)
    stated = json.dumps(golden(protos), indent=1, sort_keys=True)
    folder.mkdir(parents=True)
    (folder / DESCRIPTORS).write_bytes(kept.SerializeToString(deterministic=True))
    (folder / GOLDEN).write_text(f"{stated}\n", encoding="utf-8")


def main(
    name: Annotated[str, typer.Argument(help="The version, in digits, points and hyphens.")],
    protos: Annotated[Path, typer.Option(help="The folder of the contracts.")] = Path("protos"),
    versions: Annotated[Path, typer.Option(help="The folder of the kept versions.")] = Path("protos/versions"),
) -> None:
    """Keep the events' contracts under a version's name."""
    if not _NAME.match(name):
        sys.exit(f"{name} is no name of a version: digits, points and hyphens only")
    try:
        keep(protos, versions / name)
    except FileExistsError:
        sys.exit(f"{versions / name} is there already; a version that was kept stays as it was")
    except (CatalogueError, ContractsError, FileNotFoundError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    typer.run(main)

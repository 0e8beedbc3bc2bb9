"""An event's own contract: the smallest `.proto` file that states it."""

from collections.abc import Iterable
from textwrap import wrap
from typing import Final

from gongji_local.topic_docs.contracts import Contracts, Message, Place

_COMMENT_WIDTH: Final = 116
_TIMESTAMP: Final = "google.protobuf.Timestamp"
_TIMESTAMP_FILE: Final = "google/protobuf/timestamp.proto"


def excerpt(contracts: Contracts, full_name: str) -> str:
    """The event and the types of its file that it names, with their comments; the other files are imported.

    It compiles beside the contracts, to the same descriptor.
    """
    home = contracts.places[full_name].file
    here = [name for name in _within(contracts, full_name, home) if name in contracts.places]
    imports = sorted(set(_imports(contracts, here, home)))
    parts = ['syntax = "proto3";', f"package {contracts.packages[home]};"]
    parts += ["\n".join(f'import "{file}";' for file in imports)] if imports else []
    parts += [_written(contracts.places[name]) for name in here]
    return "\n\n".join(parts) + "\n"


def _within(contracts: Contracts, full_name: str, home: str) -> list[str]:
    names = [full_name, *contracts.reached_from([full_name])]
    return [name for name in names if _file_of(contracts, name) == home]


def _file_of(contracts: Contracts, name: str) -> str:
    # A nested type stands in the file of the type around it.
    while name not in contracts.places:
        name = name.rpartition(".")[0]
    return contracts.places[name].file


def _imports(contracts: Contracts, names: Iterable[str], home: str) -> Iterable[str]:
    for name in names:
        found = contracts.types[name]
        for field in found.fields if isinstance(found, Message) else ():
            if field.type == _TIMESTAMP:
                yield _TIMESTAMP_FILE
            elif field.type in contracts.types and _file_of(contracts, field.type) != home:
                yield _file_of(contracts, field.type)


def _written(place: Place) -> str:
    comment = "\n".join(f"// {line}" for line in wrap(place.comment, _COMMENT_WIDTH))
    return f"{comment}\n{place.text}" if comment else place.text

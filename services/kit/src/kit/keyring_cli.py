"""`python -m kit keyring new|show|add|activate|remove FILE`: key rings, edited without anybody seeing a key.

A ring of ciphers has a `blind_index_key`, a ring of signing keys has none; each command keeps the kind of its file.
"""

import base64
import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from kit.crypto import BLIND_INDEX_KEY_BYTES, Algorithm, KeyRing, KeyRingError
from kit.demands import needs
from kit.failures import OperatorError
from kit.signing import ALGORITHM as SIGNING
from kit.signing import MIN_KEY_BYTES, KeyRingUnusable, TokenSigner

EXIT_FAILED: Final = 1
_CIPHERS: Final = {algorithm.label: algorithm.key_bytes for algorithm in Algorithm}
_KEY_BYTES: Final = {**_CIPHERS, SIGNING: MIN_KEY_BYTES}
# Tokens put it before a dot, ciphertexts after its length in one byte.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INDEX: Final = "blind_index_key"

Ring = dict[str, Any]
FileArgument = Annotated[Path, typer.Argument(help="The ring, JSON.", show_default=False)]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The key's id, such as k2 or 2026-05.", show_default=False)
]

app = typer.Typer(no_args_is_help=True)


class KeyringMisused(OperatorError):
    """The ring cannot be changed so; the text says why."""


@app.command()
@needs(None)
def new(
    file: FileArgument,
    key_id: IdArgument,
    algorithm: Annotated[str, typer.Option(help=f"{', '.join(_CIPHERS)}, or {SIGNING} to sign.")] = "AES-256-GCM",
) -> None:
    """Make a ring with one random key, which is active; a file that is there stays."""

    def make() -> str:
        if file.exists():
            raise KeyringMisused(f"{file} is there already; `add` adds a key to it")
        ring: Ring = {"active": key_id, "keys": {key_id: _random(key_id, algorithm)}}
        if algorithm in _CIPHERS:
            ring[_INDEX] = _base64(BLIND_INDEX_KEY_BYTES)
        _write(file, ring)
        return f"{file}: {key_id} is active"

    _run(make)


@app.command()
@needs(None)
def show(file: FileArgument) -> None:
    """Say which keys there are and which is active, and nothing secret."""
    _run(lambda: "\n".join(_lines(_read(file))))


@app.command()
@needs(None)
def add(
    file: FileArgument,
    key_id: IdArgument,
    algorithm: Annotated[str, typer.Option(help="Another cipher than the active key's.")] = "",
) -> None:
    """Add a random key, which opens and checks, and does not seal or sign before `activate`."""

    def change(ring: Ring) -> str:
        if key_id in ring["keys"]:
            raise KeyringMisused(f"the ring has a key {key_id} already")
        chosen = algorithm or ring["keys"][ring["active"]]["algorithm"]
        if (chosen in _CIPHERS) != (_INDEX in ring):
            raise KeyringMisused(f"{chosen} does not go into a ring that {'encrypts' if _INDEX in ring else 'signs'}")
        ring["keys"][key_id] = _random(key_id, chosen)
        return f"added; {ring['active']} stays active"

    _change(file, change)


@app.command()
@needs(None)
def activate(file: FileArgument, key_id: IdArgument) -> None:
    """Let a key seal or sign from now on; every process that opens or checks must have it already."""

    def change(ring: Ring) -> str:
        _known(ring, key_id)
        before, ring["active"] = ring["active"], key_id
        return f"active instead of {before}"

    _change(file, change)


@app.command()
@needs(None)
def remove(file: FileArgument, key_id: IdArgument) -> None:
    """Take a key out, for good: what it alone opens stays closed."""

    def change(ring: Ring) -> str:
        _known(ring, key_id)
        if key_id == ring["active"]:
            raise KeyringMisused(f"{key_id} is active; activate another one first")
        del ring["keys"][key_id]
        return "removed"

    _change(file, change)


def _change(file: Path, change: Callable[[Ring], str]) -> None:
    def changed() -> str:
        ring = _read(file)
        done = change(ring)
        _write(file, ring)
        return "\n".join([f"{file}: {done}", *_lines(ring)])

    _run(changed)


def _run(work: Callable[[], str]) -> None:
    try:
        typer.echo(work())
    except (OperatorError, OSError) as error:
        typer.echo(f"✗ {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None


def _known(ring: Ring, key_id: str) -> None:
    if key_id not in ring["keys"]:
        raise KeyringMisused(f"the ring has no key {key_id}; it has {', '.join(sorted(ring['keys']))}")


def _lines(ring: Ring) -> list[str]:
    return [
        f"{'*' if key_id == ring['active'] else ' '} {key_id}  {key['algorithm']}"
        for key_id, key in sorted(ring["keys"].items())
    ]


def _random(key_id: str, algorithm: str) -> dict[str, str]:
    if not _ID.fullmatch(key_id):
        raise KeyringMisused("a key's id has 1 to 64 letters, digits, hyphens and underscores")
    if algorithm not in _KEY_BYTES:
        raise KeyringMisused(f"there is no algorithm {algorithm}; there are {', '.join(_KEY_BYTES)}")
    return {"algorithm": algorithm, "key": _base64(_KEY_BYTES[algorithm])}


def _base64(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode()


def _read(file: Path) -> Ring:
    """The ring, after whoever will read it has found it good."""
    try:
        stated: object = json.loads(file.read_bytes())
        if isinstance(stated, dict) and _INDEX in stated:
            KeyRing.from_json(stated)
        else:
            TokenSigner(file)
    except ValueError as error:
        raise KeyRingUnusable(f"{file} is no key ring: {type(error).__name__}") from error
    except KeyRingError as error:
        raise KeyRingUnusable(f"{file} is no key ring: {error}") from error
    return cast("Ring", stated)


def _write(file: Path, ring: Ring) -> None:
    """In its place at once, for the eyes of those alone who could read it before."""
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:
        json.dump(ring, output, indent=2)
        output.write("\n")
        output.flush()
        os.fsync(output.fileno())
    if file.exists():
        owner = file.stat()
        beside.chmod(owner.st_mode & 0o777)
        os.chown(beside, owner.st_uid, owner.st_gid)
    beside.replace(file)

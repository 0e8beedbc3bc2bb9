"""Kafka's jars: fetched once, each checked against jars.lock every time they are used."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import requests
from maven_artifact.artifact import Artifact
from maven_artifact.downloader import Downloader
from maven_artifact.requestor import RequestException, Requestor

from gongji_local.errors import StackError, from_os_error

CACHE_NAME: Final = "kafka-4.2.1"
LOCK_FILE: Final = Path(__file__).with_name("jars.lock")
LINE_PATTERN: Final = re.compile(r"(\S+) sha256=([0-9a-f]{64}) size=(\d+)")
PARALLEL_DOWNLOADS: Final = 8
CONNECT_TIMEOUT_SECONDS: Final = 15.0
READ_TIMEOUT_SECONDS: Final = 60.0
CHUNK_BYTES: Final = 256 * 1024
ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of jars.lock."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """`artifact-version.jar`."""
        _group, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


Fetch = Callable[[str, Path], None]
"""Brings the artifact of a coordinate into a file, or raises StackError."""


def read_lock(path: Path = LOCK_FILE) -> list[LockedJar]:
    """The jars and their figures; a line that does not read is an error, never left out."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [_parse_line(line, path) for line in lines if line and not line.startswith("#")]


def _parse_line(line: str, path: Path) -> LockedJar:
    found = LINE_PATTERN.fullmatch(line)
    if found is None:
        raise StackError(f"{path} has a line that does not read: {line}", f"Restore it with `git checkout -- {path}`.")
    return LockedJar(found.group(1), found.group(2), int(found.group(3)))


def jar_folder(environ: Mapping[str, str], state: Path) -> Path:
    """The cache that this user's checkouts share; in the state folder where there is no home to write to."""
    shared = _user_cache(environ)
    if shared is not None and _is_writable_folder(shared):
        return shared
    own = state / "cache" / CACHE_NAME
    own.mkdir(parents=True, exist_ok=True)
    return own


def _user_cache(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME")
    cache = environ.get("XDG_CACHE_HOME") or (home and f"{home}/.cache")
    return Path(cache) / "gongji" / CACHE_NAME if cache else None


def _is_writable_folder(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def ensure_jars(folder: Path, jars: Sequence[LockedJar], fetch: Fetch) -> list[Path]:
    """Paths of all jars, each verified; what is not there is fetched, several at a time.

    A jar that does not match its line is deleted and is an error: it is never used, and never replaced silently.
    """
    try:
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS, thread_name_prefix="jars") as executor:
            return list(executor.map(lambda jar: _ensure(folder, jar, fetch), jars))
    except OSError as error:
        raise from_os_error(error, folder) from error


def missing_jars(folder: Path, jars: Sequence[LockedJar]) -> int:
    """How many are still to be fetched."""
    return sum(not (folder / jar.file_name).exists() for jar in jars)


def _ensure(folder: Path, jar: LockedJar, fetch: Fetch) -> Path:
    path = folder / jar.file_name
    if path.exists():
        _verify(path, jar, "in the cache")
        return path
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        fetch(jar.coordinate, draft)
        _verify(draft, jar, "as it was fetched")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _verify(path: Path, jar: LockedJar, where: str) -> None:
    content = path.read_bytes()
    found = sha256(content).hexdigest()
    if found == jar.sha256 and len(content) == jar.size_bytes:
        return
    path.unlink()
    raise StackError(
        f"{jar.coordinate} {where} is not the jar of jars.lock "
        f"(sha256 {found[:16]}…, {len(content)} bytes; expected {jar.sha256[:16]}…, {jar.size_bytes} bytes); "
        "the file was deleted.",
        "Run `gongji-local up` again to fetch it anew; if that fails too, the repository serves another file: "
        "do not change jars.lock before you know why.",
    )


def fetch_from_maven(coordinate: str, target: Path) -> None:
    """Fetches from the repository that maven-artifact asks by default, trying twice."""
    failure = ""
    for _ in range(ATTEMPTS):
        try:
            _download(coordinate, target)
        except (RequestException, requests.RequestException) as error:
            failure = str(getattr(error, "msg", error)).strip()
        else:
            return
    raise StackError(
        f"{coordinate} could not be fetched: {failure}",
        "Check the network (a proxy is named by HTTPS_PROXY) and run `gongji-local up` again, "
        "or name a Kafka that is already there with KAFKA_BOOTSTRAP or --kafka.",
    )


def _download(coordinate: str, target: Path) -> None:
    url = Artifact.parse(coordinate).uri(Downloader().resolver.base)
    timeout_seconds = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    response = Requestor().request(url, None, stream=True, timeout=timeout_seconds)
    with response, target.open("wb") as file:
        for chunk in response.iter_content(chunk_size=CHUNK_BYTES):
            file.write(chunk)

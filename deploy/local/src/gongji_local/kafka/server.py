"""The embedded Kafka's life: one KRaft broker on loopback."""

import os
import secrets
import shutil
import signal
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from gongji_local.blocking import run_blocking
from gongji_local.certificates import Certificates
from gongji_local.clock import wait_until
from gongji_local.diagnosis import LogTail, explain_end, explain_silence, no_room
from gongji_local.errors import StackError
from gongji_local.files import write_private
from gongji_local.kafka.jars import Fetch, ensure_jars, fetch_from_maven, jar_folder, missing_jars, read_lock
from gongji_local.kafka.java import find_java
from gongji_local.ports import LOOPBACK, free_port, listens
from gongji_local.processes import Command, is_alive, owns_port, run, spawn, stop
from gongji_local.progress import SILENT, Progress, told
from gongji_local.room import require_file_size, require_room
from gongji_local.state import StateBook
from kit.kafka_client import KafkaAddress, client_options

NAME: Final = "kafka"
CONTROLLER: Final = "kafka-controller"
ADMIN: Final = "admin"
"""Who may do everything there, where anybody may not."""
FOLDER: Final = Path(__file__).parent
FORMAT_TIMEOUT_SECONDS: Final = 60.0
START_TIMEOUT_SECONDS: Final = 120.0
STOP_TIMEOUT_SECONDS: Final = 30.0
PROBE_TIMEOUT_MS: Final = 2000
# The first compiler alone: half the start-up time, and at a developer's loads less CPU than with the second one
JVM_OPTIONS: Final = ("-Xms128M", "-Xmx384M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class EmbeddedKafka:
    """One broker (and controller) of one state folder: open and in plain text on loopback, or secured as in production.

    Args:
        book: where its ports and its process are written down.
        environ: names the Java and the cache, if anything does.
        fetch: gets a jar.
        secured: TLS by PEM files, certificates for everybody, and Kafka's StandardAuthorizer. The data are the same.
    """

    def __init__(
        self,
        book: StateBook,
        environ: Mapping[str, str],
        fetch: Fetch = fetch_from_maven,
        *,
        secured: bool = False,
    ) -> None:
        self._book = book
        self._environ = environ
        self._fetch = fetch
        self._secured = secured
        self._log = book.folder.log_of(NAME)
        self._data = book.folder.kafka / "data"
        self._properties = book.folder.kafka / "server.properties"

    @property
    def bootstrap(self) -> str:
        """`host:port`; valid once the broker was started."""
        return f"{LOOPBACK}:{self._book.port(NAME)}"

    def client(self, user: str) -> KafkaAddress:
        """How a user reaches it: a service, `admin`, `topics-check`."""
        return self._client(self.bootstrap, user)

    def is_alive(self) -> bool:
        """Whether our own broker runs."""
        return is_alive(self._book.read().processes.get(NAME))

    def address(self) -> str:
        """`host:port`; empty before the first start."""
        port = self._book.read().ports.get(NAME)
        return f"{LOOPBACK}:{port}" if port else ""

    def is_ready(self) -> bool:
        """Whether our own broker runs, is the one at its port and answers with its metadata."""
        record = self._book.read()
        process, port = record.processes.get(NAME), record.ports.get(NAME)
        return (
            port is not None and owns_port(process, port) and serves_metadata(self._client(f"{LOOPBACK}:{port}", ADMIN))
        )

    def start(self, progress: Progress = SILENT) -> None:
        """Fetches the jars and formats the data folder if need be, starts the broker and waits for its metadata."""
        java = None if self.is_alive() else self._java(progress)
        with told(progress, "Kafka") as step:
            if java is not None:
                self._configure()
                if not (self._data / "meta.properties").exists():
                    self._format(java)
                self._launch(java)
            self._wait_ready()
            step.detail = self.bootstrap

    def stop(self) -> None:
        """Asks the broker to close its segments and end."""
        stop(self._book.read().processes.get(NAME), signal.SIGTERM, STOP_TIMEOUT_SECONDS)
        self._book.forget_process(NAME)

    def wipe(self) -> None:
        """Stops the broker and deletes its data."""
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def _java(self, progress: Progress) -> "_Java":
        runtime, locked = find_java(self._environ), read_lock()
        folder = jar_folder(self._environ, self._book.folder.root)
        missing = missing_jars(folder, locked)
        with told(progress, "Kafka's jars", f"{missing} of {len(locked)} to fetch" if missing else "in the cache"):
            jars = ensure_jars(folder, locked, self._fetch)
        return _Java(runtime, jars, self._book.folder.logs)

    def _configure(self) -> None:
        """Writes the broker's configuration with ports that are free now, the former ones where they are."""
        ports = self._book.read().ports
        others = {port for name, port in ports.items() if name not in {NAME, CONTROLLER}}
        port = free_port(ports.get(NAME), others)
        controller_port = free_port(ports.get(CONTROLLER), {*others, port})
        self._book.put_port(NAME, port)
        self._book.put_port(CONTROLLER, controller_port)
        filled = {"{DATA}": str(self._data), "{PORT}": str(port), "{CONTROLLER_PORT}": str(controller_port)}
        text = (FOLDER / "server.properties").read_text()
        if self._secured:
            text += (FOLDER / "server.secured.properties").read_text()  # of a name that comes twice the last one counts
            filled |= self._stores()
        for placeholder, value in filled.items():
            text = text.replace(placeholder, value)
        write_private(self._properties, text)

    def _stores(self) -> Mapping[str, str]:
        """Its key and certificate in one file, which is how Kafka reads PEM, and whom it believes."""
        certificates = Certificates(self._book.folder.tls)
        own, keystore = certificates.kafka_broker(), self._book.folder.kafka / "keystore.pem"
        write_private(keystore, own.key.read_bytes() + own.cert.read_bytes())
        return {"{KEYSTORE}": str(keystore), "{TRUSTSTORE}": str(certificates.kafka.file)}

    def _client(self, bootstrap: str, user: str) -> KafkaAddress:
        if not self._secured:
            return KafkaAddress(bootstrap)
        certificates = Certificates(self._book.folder.tls)
        files = certificates.kafka_user(user)
        return KafkaAddress(bootstrap, certificates.kafka.file, files.cert, files.key)

    def _format(self, java: "_Java") -> None:
        require_room(self._book.folder.kafka, "Kafka")
        shutil.rmtree(self._data, ignore_errors=True)
        cluster_id = urlsafe_b64encode(b"\x01" + secrets.token_bytes(15)).decode().rstrip("=")
        arguments = ("format", "-t", cluster_id, "-c", str(self._properties), "--standalone")
        finished = run(java.command("kafka.tools.StorageTool", *arguments), FORMAT_TIMEOUT_SECONDS)
        if finished.returncode != 0:
            raise _explain_format(self._data, finished.stdout)

    def _launch(self, java: "_Java") -> None:
        require_file_size("Kafka")
        command = java.command("kafka.Kafka", str(self._properties))
        self._book.put_process(NAME, spawn(command, self._log))

    def _wait_ready(self) -> None:
        record = self._book.read()
        process = record.processes[NAME]
        tail = LogTail(self._log, process.log_start_bytes)
        in_time = wait_until(lambda: not is_alive(process) or self.is_ready(), START_TIMEOUT_SECONDS)
        if not is_alive(process):
            self._book.forget_process(NAME)
            raise explain_end(NAME, process, tail, (record.ports[NAME], record.ports[CONTROLLER]))
        if not in_time:
            raise explain_silence(NAME, tail, START_TIMEOUT_SECONDS)


class _Java:
    """How to run a class of Kafka's."""

    def __init__(self, java: Path, jars: Sequence[Path], logs: Path) -> None:
        self._java = java
        self._jars = jars
        self._logs = logs

    def command(self, main_class: str, *arguments: str) -> Command:
        """The class path names each verified jar: whatever else lies in the cache is not run."""
        options = (
            *JVM_OPTIONS,
            f"-Dlog4j2.configurationFile={FOLDER / 'log4j2.xml'}",
            f"-Dkafka.logs.dir={self._logs}",
            "-cp",
            os.pathsep.join(str(jar) for jar in self._jars),
        )
        return Command([str(self._java), *options, main_class, *arguments], {"PATH": os.defpath, "LC_ALL": "C.UTF-8"})


def serves_metadata(kafka: str | KafkaAddress) -> bool:
    """Whether the broker answers a metadata request."""
    address = KafkaAddress(kafka) if isinstance(kafka, str) else kafka
    if not _accepts_connections(address.kafka_bootstrap):
        return False  # asked first, because the client complains in the log about each failed attempt
    try:
        return run_blocking(lambda: _has_brokers(address))
    except (OSError, TimeoutError, KafkaError):
        return False


def _accepts_connections(bootstrap: str) -> bool:
    addresses = [address.strip().rpartition(":") for address in bootstrap.split(",")]
    return any(listens(int(port), host) for host, _colon, port in addresses if port.isdigit())


async def _has_brokers(kafka: KafkaAddress) -> bool:
    options = dict(client_options(kafka, "probe")) | {"request_timeout_ms": PROBE_TIMEOUT_MS}
    client = AIOKafkaClient(**options)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    finally:
        await client.close()


def _explain_format(data: Path, output: str) -> StackError:
    if full := no_room("Kafka", output, data.parent):
        return full
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "it printed nothing")
    return StackError(
        f"Kafka's data folder {data} could not be formatted: {last}",
        "Remove the cause, then run `gongji-local up` again.",
    )

"""Connections to Kafka: one place that knows how this platform's clients are set."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from kit import certificates
from kit.kafka_tls import KafkaContext

__all__ = ["KafkaAddress", "KafkaError", "KafkaSettings", "client_options", "drop", "new_consumer", "new_producer"]

REQUEST_TIMEOUT_MS = 10_000
MAX_BATCH_BYTES = 512 * 1024
"""One record batch; a broker takes 1 MiB."""
DROP_TIMEOUT_SECONDS = 5.0


class KafkaSettings(Protocol):
    """What is needed to reach Kafka; `kit.config.ServiceSettings` has it."""

    @property
    def kafka_bootstrap(self) -> str:
        """First addresses, separated by commas."""
        ...

    @property
    def kafka_ca_file(self) -> Path | None:
        """The CA of the brokers; None on loopback."""
        ...

    @property
    def kafka_cert_file(self) -> Path | None:
        """This service's certificate."""
        ...

    @property
    def kafka_key_file(self) -> Path | None:
        """The key of that certificate."""
        ...


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """KafkaSettings of their own, for commands and tests."""

    kafka_bootstrap: str
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """The TLS to speak, or None for plain text. The files may be replaced while clients work."""
    if settings.kafka_ca_file is None:
        return None
    context = KafkaContext.of_files(settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file)
    certificates.watch("kafka-ca", context.authorities)
    if settings.kafka_cert_file is not None:
        certificates.watch("kafka", context.certificate)
    return context


def client_options(settings: KafkaSettings, client_id: str) -> Mapping[str, Any]:
    """What every client of this platform has in common."""
    context = ssl_context(settings)
    return {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "client_id": client_id,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "security_protocol": "SSL" if context else "PLAINTEXT",
        "ssl_context": context,
    }


def new_producer(settings: KafkaSettings, client_id: str) -> Any:
    """A producer, not started, that loses and repeats nothing by itself.

    The client has no switch against creating topics on the fly: it names none that the catalogue does not have, and
    brokers run with `auto.create.topics.enable=false`.
    """
    return AIOKafkaProducer(
        **client_options(settings, client_id), acks="all", enable_idempotence=True, max_batch_size=MAX_BATCH_BYTES
    )


def new_consumer(settings: KafkaSettings, client_id: str, *topics: str, **options: Any) -> Any:
    """A consumer, not started, that commits only when told and starts with the earliest record."""
    return AIOKafkaConsumer(
        *topics,
        **client_options(settings, client_id),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **options,
    )


async def drop(producer: Any) -> None:
    """End a producer at once: what it did not send is given up, and nothing of it goes on in the background.

    An idempotent producer tries for ever, and its own `stop` waits for that. So the connections are closed and the
    sending task is ended, which the library offers no public way for.
    """
    producer._closed = True  # noqa: SLF001 - or it complains, when collected, that nobody called stop
    with contextlib.suppress(Exception):  # whatever still goes wrong with it, it is given up
        async with asyncio.timeout(DROP_TIMEOUT_SECONDS):
            await producer.client.close()
            await producer._sender.close()  # noqa: SLF001 - see above


async def started(build: Callable[[], Any]) -> Any:
    """A started client; what did not start is closed before the error is passed on."""
    client = build()
    try:
        await client.start()
    except BaseException:
        end = client.close if hasattr(client, "close") else client.stop  # the admin client says close
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(end(), DROP_TIMEOUT_SECONDS)
        raise
    return client

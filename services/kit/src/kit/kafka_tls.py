"""TLS to Kafka, by files that may be replaced."""

import ssl
from pathlib import Path
from typing import Self

from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]

from kit.certificates import check_pair, read
from kit.followed import Contents, Followed, Misfit
from kit.tls_context import FollowingContext


class KafkaContext(FollowingContext):
    """What a client of Kafka shows and believes."""

    @classmethod
    def of_files(cls, ca: Path, cert: Path | None, key: Path | None) -> Self:
        """A context that believes `ca` and shows `cert`, if there is one.

        Raises:
            OSError: a file cannot be read.
            Misfit: the files cannot be used.
        """
        own = (cert, key) if cert is not None and key is not None else None

        def check(contents: Contents) -> None:
            read(contents[0], ca)
            if own:
                check_pair(contents[1], contents[2], own[0])

        def made(contents: Contents) -> ssl.SSLContext:
            return _new(contents[0], own)

        return cls.of(Followed("the certificate for Kafka and its CA", (ca, *(own or ())), made, check))

    def authorities(self) -> bytes:
        """Who is believed, in PEM."""
        return self.followed.contents()[0]

    def certificate(self) -> bytes:
        """What is shown, in PEM."""
        return self.followed.contents()[1]


def _new(authorities: bytes, own: tuple[Path, Path] | None) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(cadata=authorities.decode())
        if own:
            context.load_cert_chain(*own)  # which takes files alone; if they are changing, the next look finds it out
    except (OSError, ValueError) as error:  # of TLS, too
        raise Misfit(f"the files for Kafka cannot be used: {error}") from error
    return context

"""TLS to Kafka whose files may be replaced: each new connection shows and believes what they say then."""

import ssl
from pathlib import Path
from typing import Any, Self

from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]

from kit.certificates import check_pair, read
from kit.followed import Contents, Followed, Misfit


class FollowingContext(ssl.SSLContext):
    """Hands each new connection to a context of the newest files.

    Clients take one context for their whole life, and into a context an authority can be put but never taken out again.
    """

    _followed: Followed[ssl.SSLContext]

    @classmethod
    def of(cls, ca: Path, cert: Path | None, key: Path | None) -> Self:
        """A context that believes `ca` and shows `cert`, if there is one.

        Raises:
            OSError: a file cannot be read.
            Misfit: the files cannot be used.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        own = (cert, key) if cert is not None and key is not None else None

        def check(contents: Contents) -> None:
            read(contents[0], ca)
            if own:
                check_pair(contents[1], contents[2], own[0])

        def made(contents: Contents) -> ssl.SSLContext:
            return _new(contents[0], own)

        files = (ca, *(own or ()))
        context._followed = Followed("the certificate for Kafka and its CA", files, made, check)
        return context

    def authorities(self) -> bytes:
        """Who is believed, in PEM."""
        return self._followed.contents()[0]

    def certificate(self) -> bytes:
        """What is shown, in PEM."""
        return self._followed.contents()[1]

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext`."""
        return self._followed.look().wrap_bio(*args, **kwargs)


def _new(authorities: bytes, own: tuple[Path, Path] | None) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(cadata=authorities.decode())
        if own:
            context.load_cert_chain(*own)  # which takes files alone; if they are changing, the next look finds it out
    except (OSError, ValueError) as error:  # of TLS, too
        raise Misfit(f"the files for Kafka cannot be used: {error}") from error
    return context

"""TLS to others whose files may be replaced: each new connection shows and believes what they say then."""

import ssl
from pathlib import Path
from typing import Any, Self

from kit.certificates import read
from kit.followed import Contents, Followed, Misfit


class FollowingContext(ssl.SSLContext):
    """Hands each new connection to a context of the newest files.

    Clients take one context for their whole life, and into a context an authority can be put but never taken out again.
    """

    followed: Followed[ssl.SSLContext]

    @classmethod
    def of(cls, followed: Followed[ssl.SSLContext]) -> Self:
        """A context for a client that is always the newest one."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.followed = followed
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext`."""
        return self.followed.look().wrap_bio(*args, **kwargs)


def believing(ca: Path, *, besides_usual: bool = False) -> FollowingContext:
    """A context that believes the authorities in a file, or those besides the usual ones.

    Raises:
        OSError: it cannot be read.
        Misfit: it cannot be used.
    """

    def made(contents: Contents) -> ssl.SSLContext:
        (pem,) = contents
        read(pem, ca)
        try:
            if not besides_usual:
                return ssl.create_default_context(cadata=pem.decode())
            context = ssl.create_default_context()
            context.load_verify_locations(cadata=pem.decode())
        except ValueError as error:  # of TLS, too
            raise Misfit(f"{ca} cannot be used: {error}") from error
        return context

    return FollowingContext.of(Followed(f"the authorities in {ca.name}", [ca], made))

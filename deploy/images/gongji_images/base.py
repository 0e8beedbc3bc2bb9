"""Which base images may be built on."""

import re
from typing import Final

from gongji_images.errors import ImagesError

_REFERENCE: Final = re.compile(
    r"(?P<name>[a-z0-9]+(?:[._:/-][a-z0-9]+)*?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class BaseImageRefused(ImagesError):
    """The base image cannot be built on; says why and what to name instead."""

    exit_status = 2


def require_base(reference: str, *, release: bool) -> str:
    """The reference as it is, if images may be built on it.

    A tag is moved to another image at any time: what a release was built on could never be found out from it.

    Raises:
        BaseImageRefused: nothing is named, it is no reference, or a release names no digest.
    """
    if not reference:
        raise BaseImageRefused("BASE is missing: name an image with Python 3.11 or later, BASE=NAME:TAG@sha256:DIGEST")
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise BaseImageRefused(f"{reference} is no image: write NAME:TAG@sha256:DIGEST, the digest in 64 digits of hex")
    if release and match["digest"] is None:
        raise BaseImageRefused(
            f"{reference} has no digest, which a release needs: `docker buildx imagetools inspect {reference}` tells it"
        )
    return reference

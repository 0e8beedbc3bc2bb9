"""What ends a command of the images with one sentence."""

from typing import ClassVar


class ImagesError(Exception):
    """The images cannot be built or are not as they have to be; says why."""

    exit_status: ClassVar[int] = 1

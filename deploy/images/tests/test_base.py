"""Which base images may be built on."""

import pytest

from gongji_images.base import BaseImageRefused, require_base

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    "reference",
    [
        f"python@{DIGEST}",
        f"python:3.13-slim-bookworm@{DIGEST}",
        f"registry.example:5000/mirror/python:3.13@{DIGEST}",
    ],
)
def test_a_release_builds_on_an_image_with_its_digest(reference: str) -> None:
    assert require_base(reference, release=True) == reference


@pytest.mark.parametrize("reference", ["python", "python:3.13-slim", "registry.example:5000/python:3.13"])
def test_a_tag_alone_will_do_until_it_is_a_release(reference: str) -> None:
    assert require_base(reference, release=False) == reference
    with pytest.raises(BaseImageRefused, match="has no digest"):
        require_base(reference, release=True)


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize(
    "reference",
    [
        "",
        " ",
        "python 3.13",
        f"python:3.13@{DIGEST[:-1]}",
        f"python:3.13@{DIGEST}0",
        f"python:3.13@{DIGEST.upper()}",
        "python:3.13@sha256:",
        "python:3.13@md5:0f",
        f"@{DIGEST}",
        f"python:@{DIGEST}",
        f"python:3.13@{DIGEST}\n",
        f"--network=host@{DIGEST}",
    ],
)
def test_what_is_no_image_is_refused(reference: str, release: bool) -> None:  # noqa: FBT001
    with pytest.raises(BaseImageRefused):
        require_base(reference, release=release)

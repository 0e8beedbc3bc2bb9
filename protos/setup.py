"""Builds the contracts; pyproject.toml says the rest."""

import shutil
from pathlib import Path
from typing import ClassVar

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithTopics(build_py):
    """Packs the topics' files beside the messages: whoever installs the contracts has the names of the topics, too.

    Type checkers are told that the messages' stubs may be believed: by a file in each package of a namespace (PEP 561).
    """

    packed: ClassVar[tuple[str, ...]] = ("topics",)

    def run(self) -> None:
        """Build, and add the files. An editable install finds them where they are."""
        super().run()
        if self.editable_mode:
            return
        for package in [path for path in (Path(self.build_lib) / "gongji").iterdir() if path.is_dir()]:
            (package / "py.typed").touch()
        for folder in self.packed:
            shutil.copytree(Path(folder), Path(self.build_lib) / "gongji" / folder, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithTopics})

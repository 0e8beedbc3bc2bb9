"""Builds the contracts; pyproject.toml says the rest."""

import shutil
from pathlib import Path
from typing import ClassVar

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithTopics(build_py):
    """Packs the topics' files beside the messages: whoever installs the contracts has the names of the topics, too."""

    packed: ClassVar[tuple[str, ...]] = ("topics",)

    def run(self) -> None:
        """Build, and add the files. An editable install finds them where they are."""
        super().run()
        if self.editable_mode:
            return
        for folder in self.packed:
            shutil.copytree(Path(folder), Path(self.build_lib) / "gongji" / folder, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithTopics})

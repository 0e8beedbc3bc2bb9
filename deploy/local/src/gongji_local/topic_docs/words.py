"""The documents' languages: English as the contracts have it, Chinese by `protos/docs/zh-CN.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from kit.topics import Words


class WordsError(Exception):
    """The catalogue of words is not in step with the contracts."""


@dataclass
class Language:
    """Says each text in its language, and remembers what it could not say and what it was asked for."""

    code: str
    label: str
    texts: Mapping[str, str] | None = None
    """English to this language; None where this is English."""
    missing: dict[str, None] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def say(self, english: str) -> str:
        """The text; in English where the catalogue does not have it."""
        if self.texts is None or not english:
            return english
        self.used.add(english)
        if english not in self.texts:
            self.missing[english] = None
        return self.texts.get(english, english)

    def say_if_known(self, english: str) -> str:
        """The text, of what others than events use and document: it may stay English."""
        return english if self.texts is None or english not in self.texts else self.say(english)

    def pick(self, words: Words) -> str:
        """Of what is stated in both languages, this one's."""
        return words.en if self.texts is None else words.zh

    def check(self, where: Path) -> None:
        """Hold the catalogue to the documents that were written.

        Raises:
            WordsError: texts are missing, with the lines to add, or nothing says them any more.
        """
        if self.missing:
            lines = "\n".join(yaml.safe_dump({text: ""}, width=10_000).strip() for text in self.missing)
            raise WordsError(f"{where}: say these in Chinese, then run: make topics-docs\n{lines}")
        stale = sorted((self.texts or {}).keys() - self.used)
        if stale:
            raise WordsError(f"{where}: nothing says these any more, take them out: " + "; ".join(stale))


ENGLISH_CODE: Final = "en"
CHINESE_CODE: Final = "zh-CN"


def english() -> Language:
    """The contracts' own language."""
    return Language(ENGLISH_CODE, "English")


def chinese(file: Path) -> Language:
    """Chinese, by its catalogue.

    Raises:
        WordsError: it is no mapping of texts to texts.
    """
    texts = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(texts, dict) or not all(isinstance(text, str) and text for text in (*texts, *texts.values())):
        raise WordsError(f"{file} has to map English texts to Chinese ones")
    return Language(CHINESE_CODE, "中文", texts)

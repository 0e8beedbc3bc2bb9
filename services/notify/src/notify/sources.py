"""The files that texts are written in, in Chinese: `texts/<name>.txt.jinja` and `texts/short-forms.toml`."""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kit.failures import OperatorError

TEXTS: Final = Path(__file__).resolve().parent / "texts"
SUFFIX: Final = ".txt.jinja"
_TRANS: Final = re.compile(r"{% trans %}(.*?){% endtrans %}")


class TextsError(OperatorError):
    """Some texts are wrong; says which and why, one on a line."""


def sources(texts: Path = TEXTS) -> Mapping[str, str]:
    """The templates by name."""
    paths = sorted(texts.glob(f"*{SUFFIX}"))
    return {path.name.removesuffix(SUFFIX): path.read_text(encoding="utf-8") for path in paths}


def short_forms(texts: Path = TEXTS) -> Mapping[str, tuple[str, ...]]:
    """The parameters of each short form, in a gateway's order, by the name of the text."""
    stated = tomllib.loads((texts / "short-forms.toml").read_text(encoding="utf-8"))
    return {name: tuple(params) for name, params in stated.items()}


def sentences(source: str) -> list[str]:
    """What is to be translated in a template, as catalogues have it: `{{ amount }}` is `%(amount)s`."""
    return [_to_msgid(sentence) for sentence in _TRANS.findall(source)]


def translated(source: str, gettext: Callable[[str], str]) -> str:
    """A template with each sentence as `gettext` has it; what `trans` marks is plain text afterwards."""
    return _TRANS.sub(lambda found: _to_template(gettext(_to_msgid(found[1]))), source)


def _to_msgid(sentence: str) -> str:
    return re.sub(r"{{ (\w+) }}", r"%(\1)s", sentence.replace("%", "%%"))


def _to_template(msgstr: str) -> str:
    return re.sub(r"%\((\w+)\)s", r"{{ \1 }}", msgstr).replace("%%", "%")

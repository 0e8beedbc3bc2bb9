"""From notices to the words that people read, in their language.

The texts are templates in `texts/`, each with a title, a body with a sentence on every line, and a short form for
telephones. They are written in Chinese, which is the key of each translation. Values are put into words before: a
template has nothing to format, look up or call.
"""

import re
from pathlib import Path
from typing import Any, Final

from jinja2 import FunctionLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from notify.catalogues import LOCALES, SOURCE, TEXTS, Language, languages
from notify.domain.notices import Notice, Worded
from notify.words import Words

SUFFIX: Final = ".txt.jinja"
TRANS: Final = re.compile(r"{% trans %}(.*?){% endtrans %}")
_FULL_STOP: Final = "。"
"""Brings its own space; sentences that end with another mark are kept apart by one."""


class Renderer:
    """Puts notices into the words of one language."""

    def __init__(self, language: Language, texts: Path = TEXTS) -> None:
        self.language: Final = language.tag
        environment = _environment(language, texts)
        self._words = Words(language.locale, language.translations)
        names = [path.name.removesuffix(SUFFIX) for path in sorted(texts.glob(f"*{SUFFIX}"))]
        self._templates = {name: environment.get_template(f"{name}{SUFFIX}") for name in names}
        # A title says nothing that differs from one notice to the next.
        self._titles = {name: _block(template, "title", {}) for name, template in self._templates.items()}

    def render(self, notice: Notice) -> Worded:
        """The title and the whole text."""
        name = notice.template
        body = _block(self._templates[name], "body", self._words.of(notice.params))
        return Worded(notice.addressee, notice.category, self._titles[name], body)


class Texts:
    """The texts in every language that there is."""

    def __init__(self, locales: Path = LOCALES) -> None:
        self._renderers: Final = {language.tag: Renderer(language) for language in languages(locales)}
        self.languages: Final = tuple(self._renderers)
        """Their tags, the one that texts are written in first."""

    def renderer(self, language: str = SOURCE) -> Renderer:
        """For people with this language; that of the source if there is no such language any more."""
        return self._renderers.get(language) or self._renderers[SOURCE]


def _environment(language: Language, texts: Path) -> ImmutableSandboxedEnvironment:
    def translated(name: str) -> str:
        source = (texts / name).read_text(encoding="utf-8")
        return TRANS.sub(lambda found: to_template(language.translations.gettext(to_msgid(found[1]))), source)

    # Translated before it is compiled: half of what a catalogue's look-up would cost at each of a million messages.
    return ImmutableSandboxedEnvironment(
        loader=FunctionLoader(translated),
        undefined=StrictUndefined,
        autoescape=False,  # what is written is no markup; an e-mail is plain text
        auto_reload=False,
    )


def to_msgid(sentence: str) -> str:
    """As catalogues have it: `{{ amount }}` is `%(amount)s`."""
    return re.sub(r"{{ (\w+) }}", r"%(\1)s", sentence.replace("%", "%%"))


def to_template(msgstr: str) -> str:
    """The other way round."""
    return re.sub(r"%\((\w+)\)s", r"{{ \1 }}", msgstr).replace("%%", "%")


def _block(template: Template, name: str, words: dict[str, Any]) -> str:
    written = "".join(template.blocks[name](template.new_context(words, shared=True)))
    text = ""
    for sentence in filter(None, map(str.strip, written.splitlines())):
        text += sentence if not text or text.endswith(_FULL_STOP) else f" {sentence}"
    return text

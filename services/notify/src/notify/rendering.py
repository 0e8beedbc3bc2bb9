"""From notices to the words that people read, in their language.

The texts are templates in `texts/`, each with a title, a body with a sentence on every line, and a short form for
telephones. They are written in Chinese, which is the key of each translation. Values are put into words before: a
template has nothing to format, look up or call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from notify.catalogues import LOCALES, SOURCE, Language, languages
from notify.domain.channels import Channel, Templates
from notify.domain.codes import TEMPLATE as CODE
from notify.domain.notices import Notice, Param, Worded
from notify.domain.samples import sampled_codes, sampled_notices
from notify.sources import TextsError, short_forms, sources, translated
from notify.text_checks import Samples, check_language, check_sources
from notify.words import Words

SHORT_FORMS: Final = frozenset({Channel.SMS, Channel.PUSH})
"""Channels that take the short form, by a gateway's template and its parameters."""
_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    autoescape=False,  # what is written is no markup; an e-mail is plain text
)
_NO_GATEWAYS: Final[Mapping[Channel, Templates]] = MappingProxyType({})
_FULL_STOP: Final = "。"
"""Brings its own space; sentences that end with another mark are kept apart by one."""


@dataclass(frozen=True, slots=True)
class Said:
    """What goes out by a channel."""

    template: str
    """The name of the text."""
    language: str
    title: str = field(repr=False)
    """Names no person and no amount."""
    body: str = field(repr=False)
    """The whole text, or the short form where the channel takes that."""
    params: Mapping[str, str] = field(repr=False)
    """What the short form is filled with, in the order of `texts/short-forms.toml`; empty for other channels."""


class Renderer:
    """Puts notices into the words of one language."""

    def __init__(self, language: Language) -> None:
        self.language: Final = language.tag
        self._words = Words(language.locale, language.translations)
        self._short_forms = short_forms()
        # Translated before they are compiled: a catalogue's look-ups at each message would cost twice as much.
        self._templates = {
            name: _ENVIRONMENT.from_string(translated(source, language.translations.gettext))
            for name, source in sources().items()
        }
        # A title says nothing that differs from one notice to the next.
        self._titles = {name: _block(template, "title", {}) for name, template in self._templates.items()}

    def render(self, notice: Notice) -> Worded:
        """A notice as the inbox keeps it: the title and the whole text."""
        name = notice.template
        body = _block(self._templates[name], "body", self._words.of(notice.params))
        return Worded(notice.addressee, notice.category, self._titles[name], body)

    def said(self, template: str, params: Mapping[str, Param], channel: Channel) -> Said:
        """A text as it goes out by `channel`; of a notice, its template and its params."""
        words, title = self._words.of(params), self._titles[template]
        if channel not in SHORT_FORMS:
            return Said(template, self.language, title, _block(self._templates[template], "body", words), {})
        body = _block(self._templates[template], "short", words)
        filled = {name: str(words[name]) for name in self._short_forms[template]}
        return Said(template, self.language, title, body, filled)

    def gateway_form(self, template: str) -> str:
        """The short form as a gateway's template is registered: `${amount}` where it is filled in."""
        return _block(
            self._templates[template], "short", {name: f"${{{name}}}" for name in self._short_forms[template]}
        )

    def rehearse(self) -> None:
        """Say everything that there is to say once.

        Raises:
            TextsError: something cannot be said.
        """
        for (template, params), channel in product(all_samples(), (Channel.SMS, Channel.EMAIL)):
            try:
                self.said(template, params, channel)
            except Exception as error:  # whatever a pattern of a date or a template does
                raise TextsError(f"{self.language}: {template} cannot be rendered: {error}") from error


class Texts:
    """The texts in every language that there is; each was looked at and rendered before anybody is told anything.

    Args:
        locales: where the catalogues are.
        gateways: the templates of channels that can only say what they have a template of, by text and language.

    Raises:
        TextsError: a text or a translation is wrong, or one is missing.
    """

    def __init__(self, locales: Path = LOCALES, gateways: Mapping[Channel, Templates] = _NO_GATEWAYS) -> None:
        check_sources(sources(), short_forms(), all_samples())
        found = languages(locales)
        for language in found:
            check_language(language)
        self._renderers: Final = {language.tag: Renderer(language) for language in found}
        for renderer in self._renderers.values():
            renderer.rehearse()
        self._gateways = gateways
        self.languages: Final = tuple(self._renderers)
        """Their tags, the one that texts are written in first."""

    def renderer(self, language: str = SOURCE) -> Renderer:
        """For people with this language; that of the source if there is no such language any more."""
        return self._renderers.get(language) or self._renderers[SOURCE]

    def said(self, language: str, template: str, params: Mapping[str, Param], channel: Channel) -> Said:
        """A text as it goes out by `channel` to people with this language.

        Where the channel's gateway has no template of it in that language, Chinese it is: a debit or a code that can
        be read with some help is better than none.
        """
        stated = self._gateways.get(channel)
        is_sayable = stated is None or language in stated.get(template, {})
        return self.renderer(language if is_sayable else SOURCE).said(template, params, channel)


def all_samples() -> Samples:
    """Every text with all that it may be given to say."""
    yield from ((notice.template, notice.params) for notice in sampled_notices())
    yield from ((CODE, params) for params in sampled_codes())


def _block(template: Template, name: str, words: dict[str, Any]) -> str:
    written = "".join(template.blocks[name](template.new_context(words, shared=True)))
    text = ""
    for sentence in filter(None, map(str.strip, written.splitlines())):
        text += sentence if not text or text.endswith(_FULL_STOP) else f" {sentence}"
    return text

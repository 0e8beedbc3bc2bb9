"""What keeps a text that cannot be rendered, or that says something else in translation, from being served."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from babel.messages.catalog import Message
from jinja2 import Environment, TemplateSyntaxError, nodes

from notify.catalogues import Language, entries
from notify.domain.notices import Param
from notify.sources import TextsError, translated

BLOCKS: Final = ("title", "body", "short")
_ALLOWED: Final = (nodes.Template, nodes.Block, nodes.Output, nodes.TemplateData, nodes.Name, nodes.If)
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")

Samples = Iterable[tuple[str, Mapping[str, Param]]]
"""Names of texts, each with what it may be given to say."""


def check_sources(sources: Mapping[str, str], short_forms: Mapping[str, tuple[str, ...]], samples: Samples) -> None:
    """Hold every text's placeholders to what its notices say and to what a gateway is told of its short form.

    Raises:
        TextsError: something is wrong.
    """
    params = _params(samples)
    named = {"notice": params, "text": sources, "short form": short_forms}
    problems: list[str] = []
    for name in sorted(params.keys() | sources.keys() | short_forms.keys()):
        absent = [what for what, there in named.items() if name not in there]
        problems += [f"{name}: there is no {what} of this name" for what in absent]
        if not absent:
            found = _in_template(sources[name], params[name], short_forms[name])
            problems += [f"{name}: {problem}" for problem in found]
    _raise(problems)


def check_language(language: Language) -> None:
    """Hold every translation to the placeholders of what it translates; all have to be there.

    Raises:
        TextsError: something is wrong.
    """
    catalogue = language.catalogue
    if catalogue is None:
        return
    asked = {(entry.context, entry.msgid) for entry in entries()}
    found = [(msgid, catalogue.get(msgid, context)) for context, msgid in sorted(asked, key=str)]
    problems = [(msgid, problem) for msgid, message in found for problem in _in_translation(msgid, message)]
    _raise([f"{language.tag}: {msgid}: {problem}" for msgid, problem in problems])


def _raise(problems: list[str]) -> None:
    if problems:
        raise TextsError("\n".join(problems))


def _params(samples: Samples) -> dict[str, set[str]]:
    """What a text can rely on: the names that all who use it give it."""
    found: dict[str, set[str]] = {}
    for name, params in samples:
        found[name] = found.get(name, set(params)) & set(params)
    return found


def _in_template(source: str, params: set[str], stated: tuple[str, ...]) -> Iterator[str]:
    try:
        tree = Environment(autoescape=True).parse(translated(source, lambda msgid: msgid))
        unmarked = Environment(autoescape=True).parse(translated(source, lambda _: ""))
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}: {error.message}"
        return
    blocks = {block.name: block for block in tree.find_all(nodes.Block)}
    if tuple(blocks) != BLOCKS:
        yield f"its blocks are {_listed(blocks)} instead of {_listed(BLOCKS)}"
        return
    if any(not isinstance(node, _ALLOWED) for node in _all(tree)):
        yield "it may have blocks, ifs and plain placeholders, and nothing else"
    if any(text.data.strip() for text in unmarked.find_all(nodes.TemplateData)):
        yield "it has words outside of trans, which nobody could translate"
    for unknown in sorted(_names(tree) - params):
        yield f"what it tells of has no {unknown}"
    if _names(blocks["title"]):
        yield "its title is the same for everybody, so it has no placeholders"
    short = blocks["short"]
    if _names(short) != set(stated) or len(set(stated)) != len(stated) or short.find(nodes.If):
        yield f"its short form takes {_listed(sorted(_names(short)))} always, short-forms.toml says {_listed(stated)}"


def _in_translation(msgid: str, message: Message | None) -> Iterator[str]:
    if message is None or not message.string:
        yield "is not translated"
        return
    said = str(message.string)
    if message.fuzzy:
        yield "is translated for another wording (fuzzy)"
    if sorted(_PLACEHOLDER.findall(said)) != sorted(_PLACEHOLDER.findall(msgid)):
        yield f"has the placeholders {_listed(_PLACEHOLDER.findall(said))} in its translation"
    rest = _PLACEHOLDER.sub("", said).replace("%%", "")
    if any(sign in rest for sign in "%{}\n"):
        yield "has a sign in its translation that is none of a text: %, a brace or the end of a line"


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _names(node: nodes.Node) -> set[str]:
    return {name.name for name in node.find_all(nodes.Name)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"

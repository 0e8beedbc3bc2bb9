"""One static page in each language: no scripts, nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gongji_local.topic_docs.contracts import Contracts, Enum, Message
from gongji_local.topic_docs.headers import HEADERS
from gongji_local.topic_docs.words import CHINESE_CODE, ENGLISH_CODE, Language
from kit.dead_letters import CONSUMER, ERROR, MESSAGE, OFFSET, PARTITION, REPLAYS, TOPIC
from kit.topics import Catalogue, Topic

PAGES: Final = {ENGLISH_CODE: "topics.html", CHINESE_CODE: "topics.zh-CN.html"}
_TEMPLATES: Final = Path(__file__).parent
_HOURS_A_DAY: Final = 24
_EVENTS: Final = ".events."
DEAD_LETTER_HEADERS: Final = (
    (TOPIC, "The topic that it was on."),
    (PARTITION, "The partition there."),
    (OFFSET, "The offset there."),
    (CONSUMER, "The consumer group that could not handle it."),
    (ERROR, "The kind of error."),
    (MESSAGE, "What is known about it, and where it was raised; no personal data."),
    (REPLAYS, "How often it was tried again from here."),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a topic, as a page shows it."""

    message: Message
    file: str
    json: str
    hex: str


def page(catalogue: Catalogue, contracts: Contracts, examples: Path, version: str, language: Language) -> str:
    """The page in one language."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    topics = list(catalogue.topics.values())
    names = [name for topic in topics for name in topic.schema]
    shown = contracts.reached_from(names)
    return environment.get_template("page.html.jinja").render(
        language=language,
        t=language.say,
        pages=[(code, name) for code, name in PAGES.items() if code != language.code],
        version=version,
        topics=topics,
        events=_events(topics, contracts, examples),
        types=[contracts.types[name] for name in shown if name not in names],
        headers=HEADERS,
        dead_letter_headers=DEAD_LETTER_HEADERS,
        days=lambda hours: f"{hours / _HOURS_A_DAY:g}",
        type_of=lambda name: _link(contracts, name),
        short=lambda name: name.rpartition(".")[2],
        is_of_events=lambda name: _EVENTS in name,
        is_enum=lambda found: isinstance(found, Enum),
    )


def _events(topics: Sequence[Topic], contracts: Contracts, examples: Path) -> Mapping[str, Sequence[Event]]:
    return {topic.name: [_event(name, contracts, examples) for name in topic.schema] for topic in topics}


def _event(name: str, contracts: Contracts, examples: Path) -> Event:
    golden: dict[str, Any] = {
        suffix: (examples / f"{name}.{suffix}").read_text(encoding="utf-8").strip() for suffix in ("json", "hex")
    }
    return Event(contracts.message(name), contracts.places[name].file, **golden)


def _link(contracts: Contracts, name: str) -> Markup:
    # Whatever the contracts say is escaped: format() of a Markup does so.
    if name in contracts.types:
        return Markup('<a href="#{0}">{1}</a>').format(name, name.rpartition(".")[2])
    return Markup("<code>{0}</code>").format(name)

"""The documents of the topics: valid AsyncAPI, pages that need nothing from elsewhere, in step with the contracts."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
import yaml
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from typer.testing import CliRunner

from gongji_local.topic_docs import __main__ as command
from gongji_local.topic_docs.__main__ import ASYNCAPI, SCHEMA, WORDS, documents
from gongji_local.topic_docs.asyncapi import AsyncApiError, validate
from gongji_local.topic_docs.contracts import Contracts, ContractsError, Enum, compiled, read_contracts
from gongji_local.topic_docs.excerpt import excerpt
from gongji_local.topic_docs.headers import HEADERS
from gongji_local.topic_docs.pages import DEAD_LETTER_HEADERS, PAGES
from gongji_local.topic_docs.words import WordsError
from kit.dead_letters import StoredRecord, burial_headers
from kit.events import StoredEvent, headers_of
from kit.topics import catalogue

PROTOS = Path(__file__).parents[3] / "protos"
EVENTS = [name for topic in catalogue().topics.values() for name in topic.schema]
ACCOUNT_EVENTS = "gongji/settlement/events/v1/account_events.proto"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return documents(PROTOS)


@pytest.fixture(scope="module")
def asyncapi(made: Mapping[str, str]) -> Any:
    return yaml.safe_load(made[ASYNCAPI])


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return read_contracts(PROTOS)


@pytest.fixture(scope="module")
def whole() -> dict[tuple[str, str], DescriptorProto]:
    return {(file.name, message.name): message for file in compiled(PROTOS).file for message in file.message_type}


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    copy = tmp_path / "protos"
    shutil.copytree(PROTOS, copy, ignore=shutil.ignore_patterns("gen", "tests", "*.egg-info"))
    return copy


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_there_is_a_channel_for_each_topic_and_a_message_for_each_event(asyncapi: Any) -> None:
    assert asyncapi["channels"].keys() == catalogue().topics.keys()
    assert list(asyncapi["components"]["messages"]) == EVENTS
    for topic in catalogue().topics.values():
        kafka = asyncapi["channels"][topic.name]["bindings"]["kafka"]
        assert (kafka["partitions"], kafka["replicas"]) == (topic.partitions, topic.replication)
        assert kafka["topicConfiguration"]["retention.ms"] == topic.retention_hours * 3_600_000


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_reference_within_the_document_leads_somewhere(asyncapi: Any) -> None:
    found = set(references(asyncapi))
    assert len(found) > len(EVENTS)
    for reference in found:
        place = asyncapi
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


BREAKS: dict[str, Callable[[Any], object]] = {
    "another version": lambda stated: stated.update(asyncapi="2.6.0"),
    "no title": lambda stated: stated["info"].pop("title"),
    "an unknown action": lambda stated: stated["operations"]["publish-account-events-v1"].update(action="publish"),
    "an operation without a channel": lambda stated: stated["operations"]["publish-account-events-v1"].pop("channel"),
    "no partition": lambda stated: stated["channels"]["account-events-v1"]["bindings"]["kafka"].update(partitions=0),
    "an unknown key": lambda stated: stated["channels"]["account-events-v1"].update(owner="settlement"),
    "headers of no form": lambda stated: stated["components"]["messages"][EVENTS[0]].update(headers=5),
}


@pytest.mark.parametrize("how", BREAKS)
def test_what_is_no_asyncapi_is_refused_with_its_place(how: str, made: Mapping[str, str]) -> None:
    stated = yaml.safe_load(made[ASYNCAPI])
    validate(stated, PROTOS / SCHEMA)
    BREAKS[how](stated)
    with pytest.raises(AsyncApiError, match=r"^\$"):
        validate(stated, PROTOS / SCHEMA)


def messages_of(folder: Path, file: str) -> dict[str, DescriptorProto]:
    out = folder / "out.binpb"
    paths = [f"-I{path}" for path in (folder, PROTOS, PROTOS / "vendor")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *paths, f"--descriptor_set_out={out}", file], check=True)
    (compiled_file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    return {message.name: message for message in compiled_file.message_type}


@pytest.mark.parametrize("full_name", EVENTS)
def test_what_the_document_quotes_of_a_contract_compiles_to_the_same_message(
    full_name: str,
    contracts: Contracts,
    asyncapi: Any,
    whole: Mapping[tuple[str, str], DescriptorProto],
    tmp_path: Path,
) -> None:
    payload, file = asyncapi["components"]["messages"][full_name]["payload"]["schema"], contracts.places[full_name].file
    assert payload == excerpt(contracts, full_name)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(payload, encoding="utf-8")
    quoted = messages_of(tmp_path, file)
    for name, message in quoted.items():
        assert message == whole[file, name]
    assert full_name.rpartition(".")[2] in quoted


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.ids += [known["id"] or ""] if "id" in known else []
        self.links += [known["href"] or ""] if "href" in known else []
        self.sources += [name for name in known if name in {"src", "srcset", "data", "action", "background", "poster"}]
        assert not [name for name in known if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("code", PAGES)
def test_a_page_needs_nothing_from_elsewhere_and_its_links_lead_somewhere(code: str, made: Mapping[str, str]) -> None:
    text = made[PAGES[code]]
    page = Page(text)
    assert page.sources == []
    assert {"script", "link", "img", "iframe", "object", "embed", "form"}.isdisjoint(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.removeprefix("#") in page.ids if link.startswith("#") else link in made
    assert f'<html lang="{code}">' in text


@pytest.mark.parametrize("code", PAGES)
def test_a_page_shows_every_field_of_every_event_and_what_they_are_made_of(
    code: str, made: Mapping[str, str], contracts: Contracts
) -> None:
    page = Page(made[PAGES[code]])
    for name in [*EVENTS, *contracts.reached_from(EVENTS)]:
        assert name in page.ids
        shown = contracts.types[name]
        for part in shown.values if isinstance(shown, Enum) else shown.fields:
            assert part.name in page.text
            assert code != "en" or part.comment in page.text


def test_no_comment_of_an_event_is_left_in_english_on_the_chinese_page(
    made: Mapping[str, str], contracts: Contracts
) -> None:
    text = Page(made[PAGES["zh-CN"]]).text
    for name in EVENTS:
        message = contracts.message(name)
        for comment in (message.comment, *(field.comment for field in message.fields)):
            assert comment not in text or " " not in comment


def test_a_new_comment_asks_for_its_chinese_with_the_line_to_add(protos: Path) -> None:
    change(protos / ACCOUNT_EVENTS, "// Taken, fen.", "// What was taken: fen.")
    with pytest.raises(WordsError, match=r"'What was taken: fen.': ''"):
        documents(protos)


def test_chinese_that_nothing_says_any_more_is_told(protos: Path) -> None:
    with (protos / WORDS).open("a", encoding="utf-8") as file:
        file.write("Unheard of.: 从未听说。\n")
    with pytest.raises(WordsError, match=r"take them out: Unheard of\."):
        documents(protos)


@pytest.mark.parametrize("words", ["[]", "Topic:", "1: 一"])
def test_a_catalogue_of_words_that_is_none_is_refused(protos: Path, words: str) -> None:
    (protos / WORDS).write_text(words, encoding="utf-8")
    with pytest.raises(WordsError, match="has to map"):
        documents(protos)


def test_a_comment_of_another_package_may_stay_english_on_the_chinese_page(protos: Path) -> None:
    change(protos / "gongji/common/v1/reason.proto", "// The patient has died.", "// The patient is dead.")
    change(protos / WORDS, "The patient has died.: 患者已死亡。\n", "")
    assert "The patient is dead." in documents(protos)[PAGES["zh-CN"]]


def test_what_contracts_say_is_text_and_never_markup(protos: Path) -> None:
    change(protos / ACCOUNT_EVENTS, "// Taken, fen.", "// <script>alert(1)</script>")
    with (protos / WORDS).open("a", encoding="utf-8") as file:
        file.write("<script>alert(1)</script>: <img src=x>\n")
    change(protos / WORDS, "Taken, fen.: 扣款金额，分。\n", "")
    made = documents(protos)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made[PAGES["en"]]
    for name in PAGES.values():
        assert {"script", "img"}.isdisjoint(Page(made[name]).tags)


def test_a_contract_that_does_not_compile_is_refused_with_its_place(protos: Path) -> None:
    change(protos / ACCOUNT_EVENTS, "int64 amount_fen = 3;", "int64 amount_fen = 2;")
    with pytest.raises(ContractsError, match=r"account_events\.proto"):
        documents(protos)


def test_the_headers_that_are_documented_are_those_that_are_sent() -> None:
    now = datetime(2025, 6, 10, 2, tzinfo=UTC)
    row = StoredEvent(1, uuid4(), "a-v1", "k", "t", "/gongji/kit", "k", b"", now, None, None, 0)
    whole = StoredEvent(1, uuid4(), "a-v1", "k", "t", "/gongji/kit", "k", b"", now, 1, "00-a-b-01", 0)
    assert [name for name, _ in headers_of(row)] == [header.name for header in HEADERS if header.is_always_there]
    assert [name for name, _ in headers_of(whole)] == [header.name for header in HEADERS]
    sent = dict(headers_of(row))
    assert {header.name: header.constant.encode() for header in HEADERS if header.constant} == {
        name: sent[name] for name in ("ce_specversion", "content-type")
    }


def test_the_headers_of_dead_letters_that_are_documented_are_those_that_are_sent() -> None:
    headers = burial_headers(StoredRecord("a-v1", 0, 1, b"k", b"v", []), "group", ValueError("no"))
    assert {name for name, _ in headers} == {name for name, _ in DEAD_LETTER_HEADERS}


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command.main)
    answer = CliRunner().invoke(app, list(arguments))
    return answer.exit_code, answer.output


def test_the_command_writes_the_documents_or_says_what_is_wrong(protos: Path, made: Mapping[str, str]) -> None:
    out = protos.parent / "out"
    assert run(str(out), "--protos", str(protos)) == (0, "")
    assert {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()} == made
    change(protos / WORDS, "Topic: 主题\n", "")
    code, told = run(str(out), "--protos", str(protos))
    assert code == command.EXIT_FAILED
    assert "Topic: ''" in told

"""`python -m gongji_local.topic_docs OUT`: write the documents of the topics."""

import sys
import tomllib
from pathlib import Path
from typing import Annotated, Final

import typer

from gongji_local.topic_docs.asyncapi import AsyncApiError, document, validate, written
from gongji_local.topic_docs.contracts import ContractsError, read_contracts
from gongji_local.topic_docs.pages import PAGES, page
from gongji_local.topic_docs.words import WordsError, chinese, english
from kit.topics import CatalogueError, load_catalogue

EXIT_FAILED: Final = 1
WORDS: Final = "docs/zh-CN.yaml"
SCHEMA: Final = "vendor/asyncapi/3.0.0.json"
ASYNCAPI: Final = "asyncapi.yaml"


def documents(protos: Path) -> dict[str, str]:
    """The text of each document, by its file's name.

    Raises:
        WordsError: the Chinese catalogue is not in step.
        AsyncApiError: the document is none of AsyncAPI.
        ContractsError: the contracts do not compile.
        CatalogueError: a topic's file cannot be understood.
    """
    catalogue, contracts = load_catalogue(protos / "topics"), read_contracts(protos)
    version = tomllib.loads((protos / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    stated = document(catalogue, contracts, protos / "examples", version)
    validate(stated, protos / SCHEMA)
    made = {ASYNCAPI: written(stated)}
    for language in (english(), chinese(protos / WORDS)):
        made[PAGES[language.code]] = page(catalogue, contracts, protos / "examples", version, language)
        language.check(protos / WORDS)
    return made


def main(
    out: Annotated[Path, typer.Argument(help="The folder to write to.")],
    protos: Annotated[Path, typer.Option(help="The folder of the contracts.")] = Path("protos"),
) -> None:
    """Write the AsyncAPI document and the pages."""
    try:
        made = documents(protos)
    except (AsyncApiError, CatalogueError, ContractsError, WordsError) as error:
        typer.echo(f"{error}", err=True)
        sys.exit(EXIT_FAILED)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

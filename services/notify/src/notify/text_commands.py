"""`python -m notify texts` and `catalogue`: for those who review and translate what families read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from babel import UnknownLocaleError

from kit.demands import needs
from kit.failures import OperatorError
from notify.catalogues import LOCALES, SOURCE, updated
from notify.domain.channels import Channel
from notify.rendering import Renderer, Texts, all_samples
from notify.sources import short_forms

Locales = Annotated[Path, typer.Option(file_okay=False, help="The folder of the catalogues, if not notify's own.")]


@needs(None)
def texts_command(
    language: Annotated[str, typer.Option(help="One language, such as en; without it all that there are.")] = "",
    locales: Locales = LOCALES,
) -> None:
    """Print every text in each of its turns, as people read it and as a gateway's template is to be registered."""
    try:
        texts = Texts(locales)
    except OperatorError as error:
        typer.echo(f"✗ {error}", err=True)
        raise typer.Exit(1) from None
    if language and language not in texts.languages:
        typer.echo(f"✗ There is no catalogue of {language}, only of {', '.join(texts.languages)}.", err=True)
        raise typer.Exit(2)
    for tag in [language] if language else texts.languages:
        typer.echo("\n".join(review(texts.renderer(tag))))


@needs(None)
def catalogue_command(
    language: Annotated[str, typer.Argument(help="BCP 47, such as ug or mn-Mong.")], locales: Locales = LOCALES
) -> None:
    """Begin the catalogue of a language, or bring it up to date with what is to be translated."""
    if language == SOURCE:
        typer.echo(f"✗ {SOURCE} is what the texts are written in.", err=True)
        raise typer.Exit(2)
    try:
        path = updated(language, locales)
    except (ValueError, UnknownLocaleError) as error:
        typer.echo(f"✗ {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(
        f"{path}: translate what is empty or fuzzy, then look at it: python -m notify texts --language {language}"
    )


def review(renderer: Renderer) -> Iterator[str]:
    """The lines of `texts` in one language."""
    turns: dict[str, dict[str, None]] = {}
    for template, params in all_samples():
        said = renderer.said(template, params, Channel.EMAIL)
        short = renderer.said(template, params, Channel.SMS)
        turns.setdefault(template, {f"  {said.title}": None})
        turns[template] |= {f"  {said.body}": None, f"  · {short.body}": None}
    forms = short_forms()
    for template, lines in sorted(turns.items()):
        yield f"{template} ({renderer.language})"
        yield from lines
        yield f"  = {renderer.gateway_form(template)}"
        yield f"    {', '.join(forms[template])}"

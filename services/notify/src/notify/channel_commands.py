"""`python -m notify try-channel`: for those who connect a channel and want to see a message arrive."""

import asyncio
from typing import Annotated

import typer

from kit.cli import Task, done
from kit.demands import needs
from kit.ids import uuid7
from notify.catalogues import SOURCE
from notify.channels.port import Outgoing, UndeliveredError
from notify.channels.registry import channels_from
from notify.config import ReplaySettings
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.codes import TEMPLATE
from notify.rendering import Renderer, Texts, all_samples

NAME = "notify"


@needs(ReplaySettings)
def try_channel_command(
    channel: Annotated[Channel, typer.Argument(help="Such as SMS.")],
    address: Annotated[str, typer.Argument(help="Your own, as the channel has it.")],
    text: Annotated[str, typer.Option(help="The name of the text.")] = TEMPLATE,
    language: Annotated[str, typer.Option(help="The text's language.")] = SOURCE,
) -> None:
    """Send a made-up text to your own address, once, and say what the other side answered."""
    if channel not in OUTSIDE:
        raise typer.BadParameter("needs no adapter", param_hint=channel.value)

    def run(settings: ReplaySettings) -> int:
        texts = Texts()
        if text not in dict(all_samples()) or language not in texts.languages:
            typer.echo(f"✗ There is no text {text} in {language}: see python -m notify texts.", err=True)
            return 2
        return asyncio.run(_tried(settings, _made_up(texts.renderer(language), channel, address, text)))

    raise typer.Exit(done(NAME, Task(ReplaySettings, run)))


async def _tried(settings: ReplaySettings, outgoing: Outgoing) -> int:
    channels = channels_from(settings)
    channel = outgoing.channel.value
    try:
        accepted = await channels.send(outgoing)
    except UndeliveredError as error:
        later = "it would never go out" if error.is_final else "it would be tried again"
        typer.echo(f"✗ {channel}: {error.why}; {later}", err=True)
        return 1
    finally:
        await channels.close()
    receipt = "; a receipt will come" if accepted.awaits_receipt else ""
    typer.echo(f"✓ {channel}: taken as {accepted.provider_id or outgoing.delivery_id}{receipt}")
    return 0


def _made_up(renderer: Renderer, channel: Channel, address: str, text: str) -> Outgoing:
    said = renderer.said(text, dict(all_samples())[text], channel)
    return Outgoing(uuid7(), channel, said.template, said.language, address, said.title, said.body, said.params)

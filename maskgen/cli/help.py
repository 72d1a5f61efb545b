"""``maskgen help``: reference topics, which lie beside the code as Markdown."""

from __future__ import annotations

from importlib import resources
from typing import Final

import click

from maskgen.cli import console

_TOPICS: Final = {
    file.name.removesuffix(".md"): file
    for file in sorted((resources.files("maskgen") / "topics").iterdir(), key=lambda file: file.name)
    if file.name.endswith(".md")
}


@click.command("help", cls=console.Command)
@click.argument("topic", required=False, type=click.Choice(list(_TOPICS)), metavar="[TOPIC]")
def help_(topic: str | None) -> None:
    """Print the reference on TOPIC, or list the topics.

    On a terminal the text is laid out and paged; in a file or a pipe it is Markdown. The options of a command are
    explained by 'maskgen COMMAND --help'.
    """
    if topic is None:
        console.table([(name, title_of(name)) for name in _TOPICS])
    else:
        console.answer_markdown(text_of(topic))


def text_of(topic: str) -> str:
    """The Markdown of a topic."""
    return _TOPICS[topic].read_text(encoding="utf-8")


def title_of(topic: str) -> str:
    """The heading of a topic."""
    return text_of(topic).partition("\n")[0].removeprefix("# ")

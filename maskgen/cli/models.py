"""``maskgen models``: the model packs that find faces and landmarks."""

from __future__ import annotations

import click

from maskgen.cli import console
from maskgen.packs import fetch as fetching
from maskgen.packs.find import installed_packs, pack_dir


@click.group(short_help="List, locate and fetch model packs.")
def models() -> None:
    """Model packs: folders of ONNX files that find faces, landmarks and head poses.

    The pack "bundled" ships with maskgen and needs no network. InsightFace's packs lie in ~/.insightface/models. More:
    'maskgen help models'.
    """


@models.command("list", cls=console.Command, short_help="List the packs at hand.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(as_json: bool) -> None:
    """List the model packs that --model can name, with their folders."""
    packs = installed_packs()
    if as_json:
        console.answer_json([{"name": name, "path": str(path), "complete": ok} for name, path, ok in packs], indent=1)
        return
    console.table([(name, f"{path}{'' if is_complete else '  (no .onnx files)'}") for name, path, is_complete in packs])


@models.command(cls=console.Command, short_help="Print the folder of a pack.")
@click.argument("name")
def path(name: str) -> None:
    """Print the folder of the model pack NAME."""
    console.answer(str(pack_dir(name)))


@models.command(cls=console.Command, short_help="Download one of InsightFace's packs.")
@click.argument("name", type=click.Choice(fetching.KNOWN))
@click.option("--yes", is_flag=True, help="Accept the licence without being asked.")
@click.pass_context
def fetch(ctx: click.Context, name: str, yes: bool) -> None:
    """Download InsightFace's model pack NAME to ~/.insightface/models.

    This is the only command of maskgen that uses the network.
    """
    console.note(fetching.LICENCE)
    if not yes and not click.confirm("Download it on these terms?", err=True):
        ctx.exit(console.ERROR)
    console.answer(str(fetching.download(name)))

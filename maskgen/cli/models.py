"""``maskgen models``: the model packs that find faces and landmarks."""

from __future__ import annotations

import click

from maskgen.cli import console
from maskgen.packs import fetch as fetching
from maskgen.packs.find import Pack, installed_packs, pack_dir

_TRUST = {
    "known": "from the zip file that maskgen knows",
    "recorded": "as when it was first fetched",
    "first": "no hash to compare it with is known; recorded, and compared by the next fetch",
}


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
        rows = [
            {"name": pack.name, "path": str(pack.path), "complete": pack.is_complete, "sha256": pack.fetched_sha256}
            for pack in packs
        ]
        console.answer_json(rows, indent=1)
        return
    console.table([(pack.name, f"{pack.path}{_said(pack)}") for pack in packs])


def _said(pack: Pack) -> str:
    if not pack.is_complete:
        return "  (no .onnx files)"
    return f"  (fetched with SHA-256 {pack.fetched_sha256})" if pack.fetched_sha256 else ""


@models.command(cls=console.Command, short_help="Print the folder of a pack.")
@click.argument("name")
def path(name: str) -> None:
    """Print the folder of the model pack NAME."""
    console.answer(str(pack_dir(name)))


@models.command(cls=console.Command, short_help="Download one of InsightFace's packs.")
@click.argument("name", type=click.Choice(tuple(fetching.KNOWN)))
@click.option("--yes", is_flag=True, help="Accept the licence without being asked.")
@click.pass_context
def fetch(ctx: click.Context, name: str, yes: bool) -> None:
    """Download InsightFace's model pack NAME to ~/.insightface/models.

    This is the only command of maskgen that uses the network. The download must have the hash that maskgen knows for
    this pack. A pack for which it knows none must have the hash that it had when it was first fetched.
    """
    console.note(fetching.LICENCE)
    if not yes and not click.confirm("Download it on these terms?", err=True):
        ctx.exit(console.ERROR)
    fetched = fetching.download(name)
    console.note(f"SHA-256 {fetched.sha256}: {_TRUST[fetched.trust]}")
    console.answer(str(fetched.folder))

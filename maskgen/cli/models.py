"""``maskgen models``: the model packs that find faces and landmarks."""

from __future__ import annotations

from typing import Final

import click

from maskgen.cli import console
from maskgen.packs import fetch as fetching
from maskgen.packs.find import Pack, installed_packs, pack_dir

_MB: Final = 10**6
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
@console.quiet_option
@click.pass_context
def fetch(ctx: click.Context, name: str, yes: bool) -> None:
    """Download InsightFace's model pack NAME to ~/.insightface/models.

    This is the only command of maskgen that uses the network, through the proxy that HTTPS_PROXY names. It says first
    how large the pack is and on which terms it comes. A download that was interrupted goes on where it stopped. It must
    have the hash that maskgen knows for this pack. A pack for which it knows none must have the hash that it had when
    it was first fetched.
    """
    fetched = fetching.at_hand(name)
    if fetched is None:
        offered = fetching.offer(name)
        console.note(_what(offered))
        console.note(fetching.LICENCE)
        if not yes and not _is_agreed():
            ctx.exit(console.ERROR)
        total = offered.remote.size
        with console.progress("MB") as show:
            fetched = fetching.take(
                offered, lambda done: show(console.Advance(done // _MB, None if total is None else total // _MB))
            )
    console.note(f"SHA-256 {fetched.sha256}: {_TRUST[fetched.trust]}")
    console.answer(str(fetched.folder))


def _what(offered: fetching.Offer) -> str:
    size = "an unknown size" if offered.remote.size is None else _megabytes(offered.remote.size)
    held = f", of which {_megabytes(offered.held)} are here from a former fetch" if offered.held else ""
    known = "its SHA-256 is known" if offered.sha256 else "no SHA-256 of it is known: that of what comes is recorded"
    return f"{offered.name}: {size}{held}, from {offered.remote.url}; {known}"


def _megabytes(size: int) -> str:
    return f"{size / _MB:.1f} MB"


def _is_agreed() -> bool:
    try:
        return click.confirm("Download it on these terms?", err=True)
    except click.Abort:
        console.note("\nnobody answers: --yes accepts the terms without being asked")
        return False

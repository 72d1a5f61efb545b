"""``maskgen models``: the model packs that find faces and landmarks."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Final

import click

from maskgen.errors import ModelError

KNOWN: Final = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc")
INSTALLED: Final = Path("~/.insightface/models")
LICENCE: Final = (
    "InsightFace offers its model packs for non-commercial research purposes only; "
    "for other uses ask its authors (see the README of github.com/deepinsight/insightface). "
    "maskgen's own bundled pack has no such limit."
)


@click.group(short_help="List, locate and fetch model packs.")
def models() -> None:
    """Model packs: folders of ONNX files that find faces, landmarks and head poses.

    The pack "bundled" ships with maskgen and needs no network. InsightFace's packs lie in ~/.insightface/models.
    """


@models.command("list", short_help="List the packs at hand.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(as_json: bool) -> None:
    """List the model packs that --model can name, with their folders."""
    packs = installed_packs()
    if as_json:
        click.echo(
            json.dumps([{"name": name, "path": str(path), "complete": ok} for name, path, ok in packs], indent=1)
        )
        return
    for name, path, is_complete in packs:
        click.echo(f"{name:16} {path}{'' if is_complete else '  (no .onnx files)'}")


@models.command(short_help="Print the folder of a pack.")
@click.argument("name")
def path(name: str) -> None:
    """Print the folder of the model pack NAME."""
    from maskgen.detect import pack_dir

    click.echo(pack_dir(name))


@models.command(short_help="Download one of InsightFace's packs.")
@click.argument("name", type=click.Choice(KNOWN))
@click.option("--yes", is_flag=True, help="Accept the licence without being asked.")
@click.pass_context
def fetch(ctx: click.Context, name: str, yes: bool) -> None:
    """Download InsightFace's model pack NAME to ~/.insightface/models.

    This is the only command of maskgen that uses the network.
    """
    click.echo(LICENCE, err=True)
    if not yes and not click.confirm("Download it on these terms?", err=True):
        ctx.exit(1)
    click.echo(download(name))


def installed_packs() -> list[tuple[str, Path, bool]]:
    """(name, folder, whether it holds ONNX files) of the bundled pack and of those in ~/.insightface/models."""
    from maskgen.detect import BUNDLED, pack_dir

    folder = INSTALLED.expanduser()
    others = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    packs = [(BUNDLED, pack_dir(BUNDLED)), *((path.name, path) for path in others)]
    return [(name, path, any(path.glob("*.onnx"))) for name, path in packs]


def download(name: str) -> Path:
    """Fetch a pack with InsightFace's own downloader.

    Raises
    ------
    ModelError
        If it cannot be downloaded or unpacked.
    """
    from insightface.utils.storage import ensure_available

    try:
        # InsightFace prints its progress; answers alone go to stdout.
        with contextlib.redirect_stdout(sys.stderr):
            folder = Path(ensure_available("models", name))
        _lift_nested(folder)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"model pack {name}: download failed ({type(error).__name__}: {reason}); try again later"
        ) from error
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"{folder}: no .onnx files after the download; delete the folder and fetch again")
    return folder


def _lift_nested(folder: Path) -> None:
    # Some archives hold a folder of their own name, where InsightFace itself would not look.
    nested = folder / folder.name
    if nested.is_dir():
        for file in list(nested.iterdir()):
            shutil.move(file, folder / file.name)
        nested.rmdir()

"""``maskgen doctor``: whether this installation works, and what to do if it does not.

Nothing is imported here that could be missing: what does not work is a line, not an error.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from maskgen.cli import console
from maskgen.cli.doctor import machine, software
from maskgen.cli.doctor.finding import REINSTALL, Finding, checked, tried

if TYPE_CHECKING:
    from maskgen.packs.find import Pack

_SELF_TEST: Final = """
import json, sys
from maskgen.cli.doctor.sample import masked_sample
try:
    print(json.dumps(masked_sample()))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
"""


@click.command(cls=console.Command, short_help="Check this installation.")
@click.argument("out", required=False, metavar="[OUT]", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, out: Path | None, as_json: bool) -> None:
    """Check this installation and this machine, and say what to do about what is wrong.

    Looked at are versions, libraries that overwrite each other, where ONNX Runtime really runs networks, model packs,
    mask catalogs, room and speed of the disks of OUT and of temporary files, shared memory and open files. Then a
    sample photograph gets a mask. Exit 1 if something is broken; warnings do not count.
    """
    findings = []
    for finding in examine(out):
        findings.append(finding)
        if not as_json:
            _say(finding)
    if as_json:
        console.answer_json([asdict(finding) for finding in findings], indent=1)
    if any(finding.state == "broken" for finding in findings):
        ctx.exit(console.ERROR)


def _say(finding: Finding) -> None:
    # Not as a table: what draws those may be what is broken.
    console.answer(f"{finding.state:<7}  {finding.name:<20}  {finding.detail}")
    if finding.remedy:
        console.answer(f"{'':<7}  {'':<20}  -> {finding.remedy}")


def examine(out: Path | None = None) -> Iterator[Finding]:
    """All findings: versions first, then what depends on them; `out` is where an output would go."""
    yield from software.findings()
    yield from machine.findings(out)
    yield from checked("bundled pack", _bundled_pack)
    yield from checked("model packs", _other_packs, "delete the file that is named; the pack is then fetched anew")
    yield from checked("mask catalog", _catalog)
    yield from checked("your own masks", _own_catalog, "restore it, or take designs out: maskgen catalog remove NAME")
    yield _self_test()


def _bundled_pack() -> Iterator[Finding]:
    from maskgen.packs.find import BUNDLED, model_sha256, pack_dir

    yield Finding("bundled pack", "ok", f"{pack_dir(BUNDLED)}, sha256 {model_sha256(BUNDLED)[:12]}")


def _other_packs() -> Iterator[Finding]:
    from maskgen.packs.find import BUNDLED, installed_packs

    for pack in installed_packs():
        if pack.name != BUNDLED:
            yield from checked(f"pack {pack.name}", functools.partial(_pack, pack))


def _pack(pack: Pack) -> Iterator[Finding]:
    from maskgen.packs.find import pack_sha256

    name, place = f"pack {pack.name}", pack.path
    if not pack.is_complete:
        yield Finding(name, "absent", f"{place}: no .onnx files", f"delete it; maskgen models fetch {pack.name}")
        return
    sha256, fetched = pack_sha256(place), pack.fetched_sha256
    if fetched is None:
        yield Finding(name, "ok", f"{place}, sha256 {sha256[:12]}; maskgen did not fetch it, and compares it with none")
    elif fetched == sha256:
        yield Finding(name, "ok", f"{place}, sha256 {sha256[:12]}, as it was fetched")
    else:
        yield Finding(
            name,
            "broken",
            f"{place}: changed since it was fetched: sha256 {sha256[:12]}, and it was {fetched[:12]}",
            f"delete {place}; maskgen models fetch {pack.name}",
        )


def _catalog() -> Iterator[Finding]:
    from maskgen.catalog.store import Catalog

    catalog = Catalog.load()
    designs = console.counted(len(catalog.designs), "design")
    yield Finding("mask catalog", "ok", f"{catalog.roots[0]}, {designs}, sha256 {catalog.sha256[:12]}")


def _own_catalog() -> Iterator[Finding]:
    from maskgen.catalog.places import CATALOG_FILE, OWN, SHIPPED, user_catalog_dir
    from maskgen.catalog.store import Catalog

    name, root = "your own masks", user_catalog_dir()
    if not (root / CATALOG_FILE).exists():
        yield Finding(name, "absent", f"{root}: none yet", "'maskgen catalog add' makes some")
        return
    # With the one that ships, as commands see it.
    own = console.counted(len(Catalog.load((SHIPPED, OWN)).own), "design")
    yield Finding(name, "ok", f"{root}, {own}")


def _self_test() -> Finding:
    name, (said, fault) = "self-test", tried(_SELF_TEST)
    if fault or not said:
        return Finding(name, "broken", fault or "it said nothing", f"see the lines above; else {REINSTALL}")
    begun, seconds, faces, masks = said[0]
    on = f"{console.counted(masks, 'mask')} on {console.counted(faces, 'face')} of a sample photograph"
    if not masks:
        return Finding(name, "broken", on, REINSTALL)
    return Finding(name, "ok", f"{on} in {seconds:.2f} s, after {begun:.1f} s to begin")

"""What commands that add designs share: whom they refuse, and what they say in the end."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from maskgen import files, images
from maskgen.catalog import edit
from maskgen.catalog.likeness import Likenesses
from maskgen.catalog.places import OWN, SHEET_FILE, user_catalog_dir
from maskgen.catalog.store import Catalog
from maskgen.cli import console
from maskgen.errors import CatalogError, MaskgenError
from maskgen.studio.intake import Refusal

# More are not named one by one in a command.
_MOST_NAMED: Final = 5


@dataclass
class Adding:
    """Puts designs into a catalog one after the other, and remembers them.

    Attributes
    ----------
    command : click.Command
        Whose options messages name.
    root : Path
        The catalog's folder.
    on_clash : {"refuse", "rename", "replace"}
        As `maskgen.catalog.edit.add`.
    keeps_duplicates : bool
        Whether designs are added that are nearly the same as one in the catalog.
    added : list of dict
        What to say of each design that was added.
    """

    command: click.Command
    root: Path
    on_clash: edit.OnClash
    keeps_duplicates: bool
    added: list[dict[str, Any]] = field(default_factory=list)
    _likenesses: Likenesses | None = None

    def refused_by_name(self, names: Sequence[str], sources: Sequence[Path]) -> dict[int, Refusal]:
        """Those whose names are taken, by number; no work need be done for them."""
        clashes = edit.clashes(self.root, names, self.on_clash, sources)
        return {number: self._refusal(sources[number], "name_taken", clash) for number, clash in clashes.items()}

    def put(self, sources: Sequence[Path], design: edit.NewDesign) -> Refusal | None:
        """Add a design that was made from pictures; or why it is refused."""
        source = sources[0]
        if self._likenesses is None:
            self._likenesses = Likenesses(self.root)
        replaced = design.name if self.on_clash == "replace" else ""
        near = None if self.keeps_duplicates else self._likenesses.nearest(design, but=replaced)
        if near is not None:
            error = CatalogError(
                f"nearly the same as design {near!r}", "left out; {keep_duplicates} adds it all the same"
            )
            return self._refusal(source, "duplicate", error)
        try:
            (name,) = edit.add(self.root, [design], self.on_clash)
        except (edit.NameTakenError, edit.BadDesignError) as error:
            return self._refusal(
                source, "name_taken" if isinstance(error, edit.NameTakenError) else "bad_design", error
            )
        self._likenesses.add(name, design)
        self.added.append(
            {
                "name": name,
                "file": str(source),
                "files": [str(file) for file in sources],
                "kind": design.kind,
                "colour": design.colour,
                "views": len(design.views),
                "rotations": [view.rotation.model_dump(mode="json") for view in design.views],
            }
        )
        return None

    def _refusal(self, source: Path, reason: str, error: MaskgenError) -> Refusal:
        said = error.said(lambda setting, value: console.option_of(self.command, setting, value))
        return Refusal(source, reason, f"{source}: {said}")


def contact_sheet(root: Path, names: Sequence[str]) -> Path | None:
    """Write a contact sheet of designs, of which one page is shown, on the mean head; where it is, if it could be."""
    from maskgen.studio import preview

    path = root / SHEET_FILE
    try:
        shown = Catalog.load(root).select(names=names[: preview.DESIGNS_A_PAGE])
        (page,) = preview.contact_sheets(shown, ())
        files.write_whole(path, images.encode(page, images.Encoding(), path))
    except MaskgenError as error:
        # What was added is there all the same.
        console.note(f"no contact sheet: {error}")
        return None
    return path


def next_command(root: Path, names: Sequence[str]) -> str:
    """The command that puts designs of a catalog on, quoted for the shell."""
    words, is_own = ["maskgen", "augment", "IN", "OUT"], root == user_catalog_dir()
    if len(names) > _MOST_NAMED:
        words += ["--catalog", OWN if is_own else str(root)]
    else:
        words += [] if is_own else ["--catalog", str(root)]
        words += [word for name in names for word in ("--design", name)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def say_what_next(root: Path, names: Sequence[str]) -> None:
    """End a command that added designs: where they are shown, and how they are put on."""
    if (sheet := contact_sheet(root, names)) is not None:
        console.answer(f"look     {sheet}")
    console.answer(f"next     {next_command(root, names)}")

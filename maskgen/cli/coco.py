"""``maskgen coco``: COCO annotations of a run's masks."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen.cli import console


@click.command(cls=console.Command, short_help="Write COCO annotations of masks.")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def coco(output: Path, as_json: bool) -> None:
    """Write OUT/coco.json: box and pixels of each mask that 'maskgen augment --save alpha' put on.

    There is one category per way to wear a mask: correct, nose_out, chin_out, under_chin.
    """
    from maskgen.run.coco import COCO_FILE, write_coco

    pictures, annotations = write_coco(output)
    if as_json:
        console.answer_json({"file": str(output / COCO_FILE), "images": pictures, "annotations": annotations})
        return
    console.answer(
        f"{output / COCO_FILE}: {console.counted(annotations, 'mask')} in {console.counted(pictures, 'picture')}"
    )

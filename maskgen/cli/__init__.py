"""The command line: the only code of maskgen that prints, shows progress or exits."""

from __future__ import annotations

from pathlib import Path

import click

import maskgen
from maskgen.cli import configuration
from maskgen.cli.console import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": configuration.PREFIX,
    },
    lazy={
        "augment": Lazy("maskgen.cli.augment:augment", "Mask the faces in a folder of pictures."),
        "catalog": Lazy("maskgen.cli.catalog:catalog", "List, show, check and change mask catalogs."),
        "coco": Lazy("maskgen.cli.coco:coco", "Write COCO annotations of masks."),
        "config": Lazy("maskgen.cli.config:config", "Show settings and where they come from."),
        "convert": Lazy("maskgen.cli.convert:convert", "Bring a dataset into another format; no masks."),
        "doctor": Lazy("maskgen.cli.doctor:doctor", "Check this installation."),
        "eval": Lazy("maskgen.cli.eval:evaluate", "Measure recognition networks."),
        "faces": Lazy("maskgen.cli.faces:look", "Look at the faces of a dataset, for training and transforms."),
        "help": Lazy("maskgen.cli.help:help_", "Print the reference, topic by topic."),
        "inspect": Lazy("maskgen.cli.inspect:inspect", "Say what a dataset is and what is in it."),
        "merge": Lazy("maskgen.cli.merge:merge", "Bring outputs together."),
        "models": Lazy("maskgen.cli.models:models", "List, locate and fetch model packs."),
        "preview": Lazy("maskgen.cli.preview:preview", "Show photographs under masks, on one sheet."),
        "report": Lazy("maskgen.cli.report:report", "Write an HTML page on runs, trainings, evaluations."),
        "stats": Lazy("maskgen.cli.stats:stats", "Count what runs did."),
        "train": Lazy("maskgen.cli.train:train", "Fine-tune a recognition network."),
    },
)
@click.version_option(maskgen.__version__, message="maskgen %(version)s")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Settings, a TOML table per command; see 'maskgen help settings'.  [variable: MASKGEN_CONFIG]",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Put masks on the faces of a face-recognition dataset.

    'maskgen COMMAND --help' explains a command and its options, 'maskgen help' the rest: formats, manifest, masks,
    training and more.

    Exit codes: 0 done; 1 an error, explained in one line; 2 wrong usage; 3 done, but some inputs failed;
    130 interrupted.
    """
    configuration.use(ctx, config)

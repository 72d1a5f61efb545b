"""The command line: the only code of maskgen that prints, shows progress or exits."""

from __future__ import annotations

from typing import Final

import click

import maskgen
from maskgen.cli.augment import augment as augment_command
from maskgen.cli.catalog import catalog as catalog_command
from maskgen.cli.doctor import doctor as doctor_command
from maskgen.cli.eval import evaluate as eval_command
from maskgen.cli.models import models as models_command
from maskgen.cli.train import train as train_command
from maskgen.errors import MaskgenError

ERROR: Final = 1
INTERRUPTED: Final = 130


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        """Run a command; our own errors end it with one line and exit code 1, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except MaskgenError as error:
            click.echo(f"error: {' '.join(str(error).splitlines())}", err=True)
            ctx.exit(ERROR)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(maskgen.__version__, message="maskgen %(version)s")
def main() -> None:
    """Put masks on the faces of a face-recognition data set.

    Exit codes: 0 done, 1 an error that is explained, 2 wrong usage, 3 done, but some inputs failed, 130 interrupted.
    """


for command in (
    augment_command,
    catalog_command,
    doctor_command,
    eval_command,
    models_command,
    train_command,
):
    main.add_command(command)

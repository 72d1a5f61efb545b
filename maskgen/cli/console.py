"""What commands share: lazy groups, the wording of errors, exit codes, progress, tables.

Answers go to stdout, all else to stderr. Imports click; rich only where something is drawn.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import click

from maskgen.cli import configuration
from maskgen.cli.text import escaped, shown
from maskgen.errors import MaskgenError
from maskgen.plural import counted as counted
from maskgen.plural import noun as noun

ERROR: Final = 1
FAILED_INPUTS: Final = 3
INTERRUPTED: Final = 130
_UNBOUNDED: Final = 100_000
_QUIET: Final = "maskgen.quiet"
_EVERY: Final = 10.0  # seconds between lines about progress


class Lazy(NamedTuple):
    """A command that is imported when it is asked for."""

    place: str  # module:attribute
    short_help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for.

    Parameters
    ----------
    lazy : dict
        Name -> where the command is.
    """

    def __init__(self, *args: Any, lazy: dict[str, Lazy] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, imported or not."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a name; it is imported if it is not yet."""
        if name not in self.commands and name in self.lazy:
            module, _, attribute = self.lazy[name].place.partition(":")
            self.add_command(getattr(importlib.import_module(module), attribute), name)
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.commands.get(name)
            rows.append((name, self.lazy[name].short_help if command is None else command.get_short_help_str(80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for; of an unknown one the nearest names are told."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"No such command {name!r}{configuration.nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options from the command line, then from the environment and the settings file."""
        configuration.check_group(self, ctx)
        return super().parse_args(ctx, args)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """The context of one run; what is said of wrong usage is safe to print."""
        with _usage_shown():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; Ctrl-C ends it with 130."""
        try:
            with _usage_shown():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            note("interrupted")
            ctx.exit(INTERRUPTED)


@contextmanager
def _usage_shown() -> Iterator[None]:
    """Escape what wrong usage quotes of the command line."""
    try:
        yield
    except click.ClickException as error:
        # click breaks the lines of some of its own messages.
        lines = [shown(line, sys.stderr) for line in error.message.split("\n")]
        error.message = "\n".join(lines)  # type: ignore[misc]
        raise


class Command(click.Command):
    """A command whose errors name its own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options from the command line, then from the environment and the settings file."""
        if not {"-h", "--help"} & set(args):
            configuration.check(self, ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run it; our own errors end it with one line and exit code 1."""
        try:
            return super().invoke(ctx)
        except MaskgenError as error:
            said = error.said(lambda name, value: option_of(self, name, value))
            note(f"error: {said}")
            ctx.exit(ERROR)


def option_of(command: click.Command, name: str, value: str | None) -> str:
    """What a setting is called on the command line of a command: ``--max-pixels``, ``--device cpu``, ``--overwrite``.

    A setting that the command has no option for keeps its name.
    """
    for param in command.params:
        if isinstance(param, click.Argument) and param.name == name:
            return param.make_metavar(click.Context(command))
        if not isinstance(param, click.Option) or param.name != name:
            continue
        if not param.is_flag:
            return param.opts[0] if value is None else f"{param.opts[0]} {value}"
        if value is None or value == param.flag_value:
            return param.opts[0]
    return name if value is None else f"{name} {value}"


def answer(text: str) -> None:
    """A line to stdout."""
    click.echo(shown(text, sys.stdout))


def answer_json(value: object, indent: int | None = None) -> None:
    """JSON to stdout."""
    said = json.dumps(value, indent=indent, ensure_ascii=False)
    # Line breaks that are left are those between the fields.
    click.echo("\n".join(escaped(line, sys.stdout, lambda c: json.dumps(c)[1:-1]) for line in said.split("\n")))


def answer_markdown(text: str) -> None:
    """Markdown to stdout: laid out and paged on a terminal, as it stands in a file or a pipe."""
    if not _is_terminal():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    screen = Console()
    # No broader than is good to read.
    with screen.capture() as capture:
        screen.print(Markdown(text), width=min(screen.width, 100))
    click.echo_via_pager(capture.get())


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def note(text: str) -> None:
    """A message to stderr, a line."""
    click.echo(shown(text, sys.stderr), err=True)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # A traceback has many lines; what it quotes may hold more.
        for line in self.format(record).split("\n"):
            note(line)


def show_log(level: int = logging.DEBUG) -> None:
    """Write to stderr what maskgen logs, down to the details by default; what is shown already goes on being shown."""
    log = logging.getLogger("maskgen")
    log.setLevel(min(level, log.level or level))
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes())


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> None:
    """Columns to stdout; in a file or a pipe lines are never broken.

    Parameters
    ----------
    rows : sequence of rows
        The last cell of a row may be long: it is folded where a terminal is narrow.
    header : sequence of str
        Headings of the columns.
    right : sequence of int
        Columns that are aligned at their right.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    count = max((len(row) for row in rows), default=len(header))
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(header))
    for column in range(count):
        heading = shown(header[column], sys.stdout) if header else ""
        is_last = column == count - 1
        grid.add_column(heading, no_wrap=not is_last, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(shown(cell, sys.stdout) for cell in row))
    console = Console(file=sys.stdout, width=_UNBOUNDED, highlight=False, markup=False, emoji=False)
    if _is_terminal():
        # Never so narrow that a figure would be cut off: the terminal may break a line, but nothing is lost.
        needed = Measurement.get(console, console.options, grid).minimum
        console.width = max(Console().width, needed)
    with console.capture() as capture:
        console.print(grid)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


class Advance(NamedTuple):
    """How far a job is; `total` is None if nobody knows."""

    done: int
    total: int | None
    skipped: int = 0
    failed: int = 0


class _Lines:
    """Progress as lines in a log: one every ten seconds, and one at the end of what took as long.

    Parameters
    ----------
    what : str
        What is counted.
    clock : callable
        Gives seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what, self._clock = what, clock
        self._began = self._said = clock()
        self._is_said = False

    def show(self, now: Advance) -> None:
        at, is_end = self._clock(), now.total is not None and now.done >= now.total
        if at - self._said < _EVERY and not (is_end and self._is_said):
            return
        self._said, self._is_said = at, not is_end
        rate = now.done / max(at - self._began, 1e-9)
        parts = [f"{self._what}: {now.done} of {'unknown' if now.total is None else now.total}", pace(rate)]
        if now.total is not None and now.done and not is_end:
            parts.append(f"{duration((now.total - now.done) / rate)} left")
        parts += [f"{name} {number}" for name, number in (("skipped", now.skipped), ("failed", now.failed)) if number]
        note(", ".join(parts))


def duration(seconds: float) -> str:
    """How long, as people say it.

    Examples
    --------
    >>> duration(42), duration(600), duration(7500)
    ('42 s', '10 min', '2 h 5 min')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def pace(rate: float) -> str:
    """How fast, of so many a second.

    Examples
    --------
    >>> pace(12.5), pace(1 / 14)
    ('12.5/s', '14 s each')
    """
    return f"{duration(1 / rate)} each" if 0 < rate < 0.1 else f"{rate:.1f}/s"


def quiet_option(command: Any) -> Any:
    """``--quiet`` for a command that shows progress."""
    return click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=lambda ctx, param, value: ctx.meta.update({_QUIET: value}),
        help="Show no progress, only results, warnings and errors.",
    )(command)


def is_quiet() -> bool:
    """Whether the command that runs was told to be."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_QUIET))


def tell(text: str) -> None:
    """A line about progress to stderr; nothing with ``--quiet``."""
    if not is_quiet():
        note(text)


@contextmanager
def progress(what: str) -> Iterator[Callable[[Advance], None]]:
    """A bar on stderr; where that is no terminal, a line every ten seconds.

    Parameters
    ----------
    what : str
        What is counted, in the plural.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if is_quiet():
        yield lambda now: None
        return
    if not console.is_terminal:
        yield _Lines(what, time.monotonic).show
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[shares]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task(shown(what, sys.stderr), total=None, pace=pace(0.0), shares="")
    started = time.monotonic()

    def show(now: Advance) -> None:
        # Drawn from the first update to the last, so that what is written before and after finds a clean terminal.
        bar.start()
        elapsed, share = max(time.monotonic() - started, 1e-9), 100 / max(now.done, 1)
        shares = f"skipped {now.skipped * share:.1f} %, failed {now.failed * share:.1f} %"
        bar.update(
            task,
            total=now.total,
            completed=now.done,
            pace=pace(now.done / elapsed),
            shares=shares if now.skipped or now.failed else "",
        )
        if now.total is not None and now.done >= now.total:
            bar.stop()

    try:
        yield show
    finally:
        bar.stop()

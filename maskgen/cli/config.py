"""``maskgen config``: settings and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

from maskgen.cli import configuration, console


@click.group(cls=console.LazyGroup)
def config() -> None:
    """Show settings and where they come from."""


@config.command("show", cls=console.Command)
@click.argument("command", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, command: tuple[str, ...], as_json: bool) -> None:
    """Show what the options of COMMAND would be, and whether the settings file, a variable or nobody says so.

    Without COMMAND: all that the file and variables say, of all commands.
    """
    rows = list(_settings(ctx.find_root(), command))
    if not command:
        rows = [row for row in rows if row["from"] != "default"]
    if as_json:
        console.answer_json(rows, indent=1)
        return
    file = configuration.file_of(ctx)
    console.note(f"settings file: {'none' if file is None else file}")
    if not rows:
        console.note("no settings: all options have their defaults; see 'maskgen help settings'")
        return
    header = ("command", "option", "value", "from")
    texts = [(row["command"], row["option"], _text(row["value"]), row["from"]) for row in rows]
    # Of one command there is no need to say which.
    first = 1 if len({row["command"] for row in rows}) == 1 and command else 0
    console.table([row[first:] for row in texts], header[first:])


def _settings(root: click.Context, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """All options of some commands: command, option, value, from."""
    for ctx in _contexts(root, root.command, wanted):
        name = " ".join(configuration.names_of(ctx))
        for param in configuration.options_of(ctx.command):
            value = ctx.params.get(str(param.name))
            if param.is_flag and not param.is_bool_flag:
                # One of several flags that set one parameter.
                value = value == param.flag_value
            yield {
                "command": name,
                "option": param.opts[0],
                "value": value if isinstance(value, bool | int | float | str | tuple | None) else str(value),
                "from": _where(ctx, param) if value is not False else "default",
            }


def _contexts(parent: click.Context, group: click.Command, wanted: tuple[str, ...]) -> Iterator[click.Context]:
    """The contexts of commands, as if they were given without options; of all if none is wanted."""
    assert isinstance(group, click.Group)
    names = group.list_commands(parent)
    if wanted and wanted[0] not in names:
        raise click.UsageError(f"{wanted[0]}: no such command{configuration.nearest(wanted[0], names)}")
    for name in wanted[:1] or names:
        command = group.get_command(parent, name)
        assert command is not None
        # Nothing is asked for that is missing, and no callback runs.
        ctx = command.make_context(name, [], parent=parent, resilient_parsing=True)
        if isinstance(command, click.Group):
            yield from _contexts(ctx, command, wanted[1:])
        elif len(wanted) > 1:
            raise click.UsageError(f"{name} has no commands, such as {wanted[1]}")
        else:
            yield ctx


def _where(ctx: click.Context, param: click.Option) -> str:
    source = ctx.get_parameter_source(str(param.name))
    if source is ParameterSource.DEFAULT_MAP:
        return str(configuration.file_of(ctx))
    if source is ParameterSource.ENVIRONMENT:
        return f"{ctx.auto_envvar_prefix}_{str(param.name).upper()}"
    return "default"


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        # Weights by name are pairs.
        is_pair = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], float)
        return f"{value[0]}={value[1]}" if is_pair else ", ".join(map(_text, value)) or "-"
    return str(value)

"""Settings from a file and from the environment: options over variables over the file over defaults.

The file is TOML. A table per command holds its options by their long names, ``[catalog.add]`` those of
``maskgen catalog add``. A variable is called after its command and option: ``MASKGEN_AUGMENT_MIN_FACE``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from maskgen.names import did_you_mean

PREFIX: Final = "MASKGEN"
"""What names of variables begin with."""
_NOT_SETTINGS: Final = frozenset({"help", "version", "config"})


def read(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises
    ------
    click.UsageError
        If it cannot be read, or is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with path.open("rb") as file:
            tables: dict[str, Any] = tomllib.load(file)
            return tables
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: not TOML: {error}") from error


def use(ctx: click.Context, path: Path | None) -> None:
    """Let the commands of a group take their defaults from a file.

    Raises
    ------
    click.UsageError
        If it cannot be read, or names a command that there is not.
    """
    if path is not None:
        assert isinstance(ctx.command, click.Group)
        ctx.default_map = _by_command(ctx, ctx.command, read(path), str(path))
        ctx.meta[__name__] = path


def file_of(ctx: click.Context) -> Path | None:
    """The file that is in use."""
    path: Path | None = ctx.meta.get(__name__)
    return path


def check_group(group: click.Group, ctx: click.Context) -> None:
    """Make sure that the tables that a file has for a group are those of its commands.

    Raises
    ------
    click.UsageError
        If there is no such command.
    """
    if ctx.default_map:
        ctx.default_map = _by_command(ctx, group, ctx.default_map, str(file_of(ctx)))


def check(command: click.Command, ctx: click.Context) -> None:
    """Make sure that what a file and the environment say to a command are settings of it.

    Must be called before the command parses its options: names in the file are replaced by those of parameters.

    Raises
    ------
    click.UsageError
        If a key or a variable is unknown, or a value is not what its option takes; it tells which, and what is near.
    """
    known = _by_name(command)
    if ctx.default_map:
        where = f"{file_of(ctx)}: [{'.'.join(names_of(ctx))}]"
        ctx.default_map = {
            name: value
            for key, said in ctx.default_map.items()
            for name, value in _checked(ctx, known, key, said, where)
        }
    if ctx.auto_envvar_prefix:
        names = {f"{ctx.auto_envvar_prefix}_{param.name.upper()}" for param in known.values() if param.name}
        for variable in sorted(os.environ):
            if variable.startswith(f"{ctx.auto_envvar_prefix}_") and variable not in names:
                raise click.UsageError(f"{variable}: no such setting{nearest(variable, names)}", ctx)


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the names that are near, or nothing.

    Examples
    --------
    >>> nearest("surgical-blu", ["surgical-blue", "foam-black"])
    '; did you mean surgical-blue?'
    """
    near = did_you_mean(name, names)
    return f"; {near}" if near else ""


def _by_command(ctx: click.Context, group: click.Group, tables: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The tables of a file, made sure to be those of commands."""
    commands = group.list_commands(ctx)
    for name, table in tables.items():
        table_name = ".".join([*names_of(ctx), name])
        if name not in commands:
            raise click.UsageError(f"{where}: [{table_name}]: no such command{nearest(name, commands)}")
        if not isinstance(table, dict):
            raise click.UsageError(f"{where}: {table_name}: settings stand in the table of a command, as [augment]")
    return dict(tables)


def names_of(ctx: click.Context) -> list[str]:
    """The names of the commands on the way to a context, without the program's."""
    return [] if ctx.parent is None else [*names_of(ctx.parent), str(ctx.info_name)]


def options_of(command: click.Command) -> list[click.Option]:
    """All that may be set."""
    return [one for one in command.params if isinstance(one, click.Option) and one.name not in _NOT_SETTINGS]


def _by_name(command: click.Command) -> dict[str, click.Option]:
    """Long name -> option; an option of several names comes once for each."""
    flags = ((flag, one) for one in options_of(command) for flag in (*one.opts, *one.secondary_opts))
    return {flag.removeprefix("--"): one for flag, one in flags if flag.startswith("--")}


def _checked(
    ctx: click.Context, known: Mapping[str, click.Option], key: str, value: Any, where: str
) -> Iterator[tuple[str, Any]]:
    """(name of the parameter, value) of a key; nothing where a flag is not set."""
    option = known.get(key.replace("_", "-"))
    if option is None or option.name is None:
        raise click.UsageError(f"{where}: {key}: no such setting{nearest(key.replace('_', '-'), known)}", ctx)
    if option.is_flag and not isinstance(value, bool):
        raise click.UsageError(f"{where}: {key}: expected true or false, got {value!r}", ctx)
    if option.is_flag and f"--{key.replace('_', '-')}" in option.secondary_opts:
        value = not value
    elif option.is_flag and not option.is_bool_flag:
        # One of several flags that set one parameter.
        if not value:
            return
        value = option.flag_value
    if option.multiple and not isinstance(value, list):
        raise click.UsageError(f"{where}: {key}: expected a list, got {value!r}", ctx)
    if (not option.is_flag and isinstance(value, bool | dict)) or (isinstance(value, list) and not option.multiple):
        raise click.UsageError(f"{where}: {key}: expected a value, got {value!r}", ctx)
    value = [str(one) for one in value] if option.multiple else value if option.is_flag else str(value)
    try:
        option.type_cast_value(ctx, value)
    except click.BadParameter as error:
        raise click.UsageError(f"{where}: {key}: {error.message}", ctx) from error
    yield option.name, value

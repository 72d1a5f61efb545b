"""Options of several catalog commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click

from maskgen.catalog.schema import Kind

_Decorator = Callable[[Any], Any]


class LicenseType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """An SPDX licence expression, or ``LicenseRef-...``, in its canonical spelling."""

    name = "SPDX"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same licence, as SPDX spells it."""
        # Imported late: a list of commands needs no list of licences.
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

        try:
            return str(canonicalize_license_expression(value))
        except InvalidLicenseExpression:
            self.fail(
                f"{value!r} is not a licence that SPDX knows. Give one of https://spdx.org/licenses, such as "
                "CC-BY-4.0, or LicenseRef-NAME for any other.",
                param,
                ctx,
            )


replacing: _Decorator = click.option(
    "--replace", "on_clash", flag_value="replace", help="Replace a design of the same name."
)
renaming: _Decorator = click.option(
    "--rename", "on_clash", flag_value="rename", help="If the name is taken, append -2, -3, ..."
)
overwriting: _Decorator = click.option(
    "--overwrite", "existing", flag_value="overwrite", default="refuse", help="Replace OUT if it is there already."
)
as_json: _Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
kinds: _Decorator = click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Only masks of this kind; repeatable."
)
tags: _Decorator = click.option(
    "--tag", "tags", multiple=True, help="Only masks with this tag; repeated: only masks with all of the tags."
)
model: _Decorator = click.option(
    "--model", default="bundled", show_default=True, metavar="NAME|DIR", help="Model pack."
)

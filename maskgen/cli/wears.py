"""How masks are worn, on the command line."""

from __future__ import annotations

import click

from maskgen.catalog.schema import WearShares, wear_shares


class WearType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Weights by name: ``correct=0.85,nose_out=0.15``."""

    name = "WEIGHTS"

    def convert(self, value: str | WearShares, param: click.Parameter | None, ctx: click.Context | None) -> WearShares:
        """Shares that sum to 1."""
        if not isinstance(value, str):
            return value
        weights: dict[str, float] = {}
        for part in value.split(","):
            name, _, weight = (piece.strip() for piece in part.partition("="))
            if name in weights:
                self.fail(f"{name} is given twice", param, ctx)
            try:
                weights[name] = float(weight)
            except ValueError:
                self.fail(f"{part.strip()!r} is not of the form NAME=WEIGHT", param, ctx)
        try:
            return wear_shares(weights)
        except ValueError as error:
            self.fail(str(error), param, ctx)

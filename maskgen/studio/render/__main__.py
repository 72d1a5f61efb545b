"""``python -m maskgen.studio.render OUT``: the catalog that ships, rendered anew."""

import sys
from pathlib import Path

from maskgen.studio.render.designs import DESIGNS
from maskgen.studio.render.draw import render_catalog

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m maskgen.studio.render OUT")
    render_catalog(DESIGNS, Path(sys.argv[1]))

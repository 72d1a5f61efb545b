"""Print the lowest version of each direct requirement, as constraints for pip: ``python .ci/lowest.py test eval``.

The arguments are the extras to cover beside the base. Markers are left for pip to evaluate.
"""

import configparser
import re
import sys
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.cfg"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*\])?>=(?P<lowest>[^,;\s]+)[^;]*(?P<marker>;.*)?")


def main(extras: list[str]) -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(SETUP, encoding="utf-8")
    texts = [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    for line in "\n".join(texts).split("\n"):
        if not line or line.startswith(f"{config['metadata']['name']}["):
            continue
        found = REQUIREMENT.fullmatch(line)
        if found is None:
            sys.exit(f"setup.cfg: {line}: no lower bound; write NAME>=VERSION")
        print(f"{found['name']}=={found['lowest']}{found['marker'] or ''}")


if __name__ == "__main__":
    main(sys.argv[1:])

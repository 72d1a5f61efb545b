"""``python -m maskgen``."""

from maskgen.cli import main

if __name__ == "__main__":
    main()

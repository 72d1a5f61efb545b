from setuptools import find_packages, setup

# The code that trained the bundled pack stays in the sdist (MANIFEST.in): nobody needs it to use the pack.
packages = find_packages(
    include=["maskgen", "maskgen.*"],
    exclude=["maskgen.packtraining", "maskgen.packtraining.*", "maskgen.packs.training", "maskgen.packs.training.*"],
)

# The masks lie beside the package in a checkout and become part of it when it is installed.
setup(packages=[*packages, "maskgen.masks"])

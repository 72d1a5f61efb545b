from setuptools import find_packages, setup

# The masks lie beside the package in a checkout and become part of it when it is installed.
setup(packages=[*find_packages(include=["maskgen", "maskgen.*"]), "maskgen.masks"])

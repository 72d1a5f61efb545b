"""Mask catalogs: how masks look from every side, where they sit on a face, and how a catalog is changed safely."""

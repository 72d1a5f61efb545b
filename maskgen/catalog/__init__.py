"""Mask catalogs: what a mask looks like from every side, and where it sits on a face."""

from maskgen.catalog.schema import CatalogFile, DesignEntry, Rotation, ViewEntry
from maskgen.catalog.store import Catalog, Design, View, default_catalog_dir, user_catalog_dir

__all__ = [
    "Catalog",
    "CatalogFile",
    "Design",
    "DesignEntry",
    "Rotation",
    "View",
    "ViewEntry",
    "default_catalog_dir",
    "user_catalog_dir",
]

"""What can go wrong that a caller can act on. This module imports nothing."""


class MaskgenError(Exception):
    """Any error of maskgen; the message says what, where and what to do."""


class ImageError(MaskgenError):
    """A picture cannot be read or written."""


class ModelError(MaskgenError):
    """A model pack is missing, incomplete or cannot be run."""


class CatalogError(MaskgenError):
    """A mask catalog is missing, malformed or incomplete."""


class ConfigError(MaskgenError):
    """Settings contradict each other or the files on disk."""

"""Masks as a transform of training: imports neither torch nor torchvision nor albumentations until they are used."""

from maskgen.transforms.random_mask import RandomMask

__all__ = ["RandomMask"]

"""Masks on some of the pictures of a training, as a transform: what becomes of a picture follows from its key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from maskgen.transforms import adapters
from maskgen.transforms.maker import MaskMaker
from maskgen.transforms.samples import key_in, picture_in, text_of


class RandomMask(MaskMaker):
    """Puts masks on some pictures while they are loaded.

    Whether a picture gets a mask, and which, follows from (seed, key, epoch) and from nothing else: not from the worker
    that loads it, nor from what was loaded before. Pictures may be arrays, tensors or PIL's: see `__call__`.

    Parameters
    ----------
    catalog : Catalog or path, optional
        The masks; by default those that ship with maskgen.
    p : float
        Share of the pictures that get a mask, where one fits.
    faces : path, FaceCache, Detector, DetectorSource or None
        What tells where faces are. A cache that ``maskgen faces`` filled costs no network; a detector finds them as
        pictures come; None stands for the bundled model pack.
    recipe : Recipe
        Who gets a mask, how it is worn, and what it takes on of the photograph.
    seed : int
        Another one gives other masks.
    parser : Parser, optional
        Beside a detector: tells what lies in front of faces.
    is_aligned : bool
        Beside a detector: pictures are ArcFace crops.

    Raises
    ------
    ConfigError
        If the cache cannot be read, or `p` is no share.
    CatalogError
        If the catalog cannot be read.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> mask = RandomMask(p=1)
    >>> picture = astronaut()[:340, 60:400]
    >>> masked = mask(picture, key="astronaut.jpg")
    >>> masked.shape, bool((masked != picture).any())
    ((340, 340, 3), True)
    >>> seen = mask.look(picture, "astronaut.jpg")
    >>> params = mask.sample(seen, seed=7)
    >>> image, alpha = mask.apply(picture, seen, params)
    >>> float(alpha.max())
    1.0
    """

    def __call__(self, sample: Any, key: str | int | PurePath | None = None) -> Any:
        """A picture, perhaps masked; of the same kind as it came.

        Parameters
        ----------
        sample : picture or mapping
            A picture: an array (H, W, 3), (H, W, 4), (H, W), or a tensor with channels first, of uint8 or of floats
            from 0 to 1; or one of PIL, RGB, RGBA or L. Or a mapping that has one picture and, as ``key`` or
            ``__key__``, its key; of several arrays the picture is called ``image`` or is the only one with channels.
        key : str, int or path, optional
            The picture's, if it comes alone: such as its path in the dataset, or the number of its record.

        Returns
        -------
        picture or dict
            Pixels that no mask touches keep every bit, and all else that a mapping has stays.

        Raises
        ------
        ConfigError
            If there is no key, or the cache does not know it.
        ImageError
            If it is no such picture.
        """
        if isinstance(sample, Mapping):
            name = picture_in(sample)
            return {**sample, name: self(sample[name], key_in(sample) if key is None else key)}
        return self.applied(sample, self.params_of(sample, text_of(key)))

    def torchvision(self) -> adapters.TorchvisionTransform:
        """The same as a transform of ``torchvision.transforms.v2``; samples are mappings with a ``key``.

        Raises
        ------
        ConfigError
            If torchvision is not installed.
        """
        return adapters.for_torchvision(self)

    def albumentations(self) -> adapters.Albumentation:
        """The same as a transform of Albumentations; samples have a ``key``, and ReplayCompose repeats what was drawn.

        Raises
        ------
        ConfigError
            If Albumentations is not installed.
        """
        return adapters.for_albumentations(self)

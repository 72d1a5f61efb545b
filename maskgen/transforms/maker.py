"""Which mask a picture of a training gets, and what becomes of it: it follows from its key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.detect import Detector, DetectorSource, DetectorSpec
from maskgen.errors import ConfigError, ImageError
from maskgen.images.checking import refuse_other
from maskgen.masking.augment import Masked, mask_faces
from maskgen.masking.recipe import PLAIN, Look, Recipe
from maskgen.parse import Parser
from maskgen.recognition.cache import FaceCache
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import Seen
from maskgen.transforms.epoch import SharedNumber
from maskgen.transforms.pictures import picture_of
from maskgen.transforms.samples import no_key

M = TypeVar("M", bound="MaskMaker")

SCHEMA_VERSION: Final = 1
_SEED_BYTES: Final = 16
_REMEDY_KEY: Final = "run 'maskgen faces' on the dataset; a key is the path there, such as ann/1.jpg"


class MaskMaker:
    """Says what is to become of pictures, and does it.

    Parameters as for `maskgen.transforms.RandomMask`, which is one.
    """

    def __init__(
        self,
        catalog: Catalog | str | PathLike[str] | None = None,
        p: float = 0.5,
        faces: FaceCache | Detector | DetectorSource | str | PathLike[str] | None = None,
        recipe: Recipe = PLAIN,
        *,
        seed: int = 0,
        parser: Parser | None = None,
        is_aligned: bool = False,
    ) -> None:
        if not 0 <= p <= 1:
            raise ConfigError(f"p {p}: not a share", "give p from 0 to 1")
        self.catalog = (
            catalog if isinstance(catalog, Catalog) else Catalog.load(None if catalog is None else Path(catalog))
        )
        self.p, self.recipe, self.seed = p, recipe, seed
        self._cache = FaceCache(Path(faces)) if isinstance(faces, str | PathLike) else None
        if isinstance(faces, FaceCache):
            self._cache = faces
        self._source = DetectorSpec(aligned=is_aligned) if faces is None else None
        self._detector: Detector | None = None
        if faces is not None and self._cache is None:
            if hasattr(faces, "build"):
                self._source = faces  # type: ignore[assignment]
            else:
                self._detector = faces  # type: ignore[assignment]
        self._parser, self._is_aligned = parser, is_aligned
        self._epoch = SharedNumber()
        self._last: tuple[str | None, Seen | None] = None, None
        # Of what the hash was taken, and the hash: neither of the two is ever changed, only replaced.
        self._hashed: tuple[Catalog | None, Recipe | None, str] = None, None, ""

    # ---- what becomes of a picture

    def look(self, image: Image, key: str | None = None) -> Seen:
        """What is seen on a picture: taken from the cache by its key, or looked for.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.
        key : str, optional
            Of the picture in the cache.

        Raises
        ------
        ConfigError
            If the cache does not know the key.
        ImageError
            If the picture is not the one that the cache knows, or no picture.
        """
        refuse_other(image)
        if self._cache is None:
            return self._look_at(image)
        if key is None:
            raise no_key()
        seen = self._cache.get(key)
        if seen is None:
            raise ConfigError(f"{key!r} is not in {self._cache.path}, {_alike(self._cache)}", _REMEDY_KEY)
        size_wh = image.shape[1], image.shape[0]
        if seen.faces and seen.size_wh != size_wh:
            raise ImageError(
                f"{key}: a picture of {size_wh[0]}x{size_wh[1]} pixels, {seen.size_wh[0]}x{seen.size_wh[1]} in "
                f"{self._cache.path}",
                "put masks on before pictures are scaled or cut; run 'maskgen faces' again if they have changed",
            )
        if seen.faces and not seen.is_observed:
            raise ConfigError(f"{key!r}: only its face is in {self._cache.path}", "run 'maskgen faces' on the dataset")
        return seen

    def sample(self, seen: Seen, seed: int) -> dict[str, Any]:
        """What is to become of a picture, as JSON can hold it.

        Parameters
        ----------
        seen : Seen
            What is seen on it.
        seed : int
            0 or more; the same one gives the same.
        """
        return self._params(seed, bool(seen.faces) and self._takes_part(seed))

    def _takes_part(self, seed: int) -> bool:
        """Whether a picture gets a mask if somebody is on it."""
        return np.random.default_rng([seed, 0]).random() < self.p

    def _params(self, seed: int, is_masked: bool) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": f"{seed:x}",
            "is_masked": is_masked,
            "made_with": self._made_with() if is_masked else None,
        }

    def apply(self, image: Image, seen: Seen, params: Mapping[str, Any]) -> tuple[Image, Float32Array]:
        """A picture with what `sample` drew for it; the same params give the same picture.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB; it is not changed.
        seen : Seen
            What is seen on it.
        params : mapping
            As `sample` gave them, perhaps read from JSON.

        Returns
        -------
        image : (H, W, 3) uint8 array
            Masked, or as it was.
        alpha : (H, W) float32 array
            How much of it is mask, 0 to 1.

        Raises
        ------
        ConfigError
            If the params are of another version, or were drawn with another catalog or recipe.
        """
        masked = self._masked(image, seen, params)
        if masked is None:
            return image, np.zeros(image.shape[:2], np.float32)
        return masked.image, masked.alpha

    def _masked(self, image: Image, seen: Seen, params: Mapping[str, Any]) -> Masked | None:
        """As `apply`; None if the picture stays as it is."""
        refuse_other(image)
        if params["schema_version"] != SCHEMA_VERSION:
            raise ConfigError(
                f"params of schema {params['schema_version']}, expected {SCHEMA_VERSION}", "draw them anew"
            )
        if not params["is_masked"]:
            return None
        if params["made_with"] != self._made_with():
            raise ConfigError(
                "params that were drawn with another catalog or recipe", "use the same ones, or draw anew"
            )
        rng = np.random.default_rng([int(params["seed"], 16), 1])
        faces = [one.face for one in seen.faces]
        return mask_faces(image, faces, seen.observed(image), self.catalog, rng, self.recipe)

    # ---- in a pipeline

    @property
    def epoch(self) -> int:
        """The epoch, which `set_epoch` sets."""
        return self._epoch.value

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins; all copies of this transform know it, also those in persistent workers.

        Call it before the loader is gone through, as workers load ahead.
        """
        self._epoch.value = epoch

    def seed_of(self, key: str) -> int:
        """The seed of a picture in this epoch: 128 bits that follow from (seed, key, epoch)."""
        text = f"{self.seed}\0{self.epoch}\0{key}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=_SEED_BYTES).digest(), "little")

    def params_of(self, image: Any, key: str | None) -> dict[str, Any]:
        """What is to become of a picture of any kind in this epoch: as `sample`, with the key.

        Raises
        ------
        ConfigError
            If there is no key, or the cache does not know it.
        ImageError
            If it is no picture of a kind that is known.
        """
        if key is None:
            raise no_key()
        seed, picture = self.seed_of(key), picture_of(image)
        if self._cache is None and not self._takes_part(seed):
            # Who is on it does not matter, and a network takes long to find out.
            return self._params(seed, False) | {"key": key}
        seen = self.look(picture.rgb, key)
        self._last = key, seen
        return self.sample(seen, seed) | {"key": key}

    def applied(self, image: Any, params: Mapping[str, Any]) -> Any:
        """A picture of any kind with what `params_of` drew for it."""
        if not params["is_masked"]:
            return image
        picture, key = picture_of(image), params["key"]
        last, seen = self._last
        size_wh = picture.rgb.shape[1], picture.rgb.shape[0]
        # A detector may have looked at it just now.
        if seen is None or last != key or seen.size_wh != size_wh:
            seen = self.look(picture.rgb, key)
        masked = self._masked(picture.rgb, seen, params)
        assert masked is not None
        return picture.masked(masked.image)

    def settings(self) -> dict[str, Any] | None:
        """What `of_settings` makes the same transform of, as JSON can hold it; None where that cannot be said."""
        is_default = isinstance(self._source, DetectorSpec)
        if self.recipe.patterns.names or (self._cache is None and not is_default):
            return None
        recipe = asdict(replace(self.recipe, patterns=PLAIN.patterns))
        del recipe["patterns"]
        return {
            "catalog": [str(root) for root in self.catalog.roots],
            "designs": [design.entry.name for design in self.catalog.designs],
            "p": self.p,
            "faces": None if self._cache is None else str(self._cache.path),
            "detector": asdict(self._source) if isinstance(self._source, DetectorSpec) else None,
            "recipe": recipe,
            "seed": self.seed,
            "epoch": self.epoch,
        }

    @classmethod
    def of_settings(cls: type[M], settings: Mapping[str, Any] | None) -> M:
        """The transform whose `settings` these are.

        Raises
        ------
        ConfigError
            If it cannot be made of them: it had a detector or patterns of its own.
        """
        if settings is None:
            raise ConfigError("a RandomMask with a detector or patterns of its own is gone", "make it anew")
        recipe = dict(settings["recipe"])
        recipe["look"], recipe["wear"] = Look(**recipe["look"]), tuple(map(tuple, recipe["wear"]))
        detector = settings["detector"]
        made = cls(
            Catalog.load(settings["catalog"]).select(names=settings["designs"]),
            settings["p"],
            settings["faces"] if detector is None else DetectorSpec(**detector),
            Recipe(**recipe),
            seed=settings["seed"],
            is_aligned=detector is not None and detector["aligned"],
        )
        made.set_epoch(settings["epoch"])
        return made

    def __getstate__(self) -> dict[str, Any]:
        # Networks are built anew where they are needed.
        state = self.__dict__ | {"_last": (None, None), "_hashed": (None, None, "")}
        if self._source is not None:
            state["_detector"] = state["_parser"] = None
        return state

    def __repr__(self) -> str:
        faces = self._cache.path if self._cache is not None else self._source or self._detector
        return f"RandomMask(p={self.p}, faces={faces}, seed={self.seed}, {len(self.catalog.designs)} designs)"

    def _look_at(self, image: Image) -> Seen:
        if self._detector is None:
            assert self._source is not None
            self._detector, self._parser = self._source.build(), self._source.parser()
        return look_at(image, self._detector, self._parser, is_aligned=self._is_aligned)

    def _made_with(self) -> str:
        """A hash of what decides about a mask beside the seed and the face."""
        catalog, recipe, known = self._hashed
        if catalog is not self.catalog or recipe is not self.recipe:
            known = _hash_of(self.catalog, self.recipe)
            self._hashed = self.catalog, self.recipe, known
        return known


def _hash_of(catalog: Catalog, recipe: Recipe) -> str:
    designs = [design.entry.name for design in catalog.designs]
    plain = replace(recipe, patterns=PLAIN.patterns)
    digest = hashlib.blake2b(repr((catalog.sha256, designs, plain, recipe.patterns.names)).encode())
    for picture in recipe.patterns.pictures:
        digest.update(picture.tobytes())
    return digest.hexdigest()[:16]


def _alike(cache: FaceCache) -> str:
    key = next(iter(cache), None)
    return "which is empty" if key is None else f"where keys are such as {key!r}"

"""WebDataset to write: ``shard-000000.tar`` and so on, each picture a sample of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from maskgen import files, images
from maskgen.datasets import tars
from maskgen.datasets.base import Fault, Sample
from maskgen.datasets.clashes import Naming, clashes_of
from maskgen.datasets.finals import Finals
from maskgen.datasets.folder_writer import names_of
from maskgen.datasets.packing import Former, Named, named, rows_with
from maskgen.datasets.part_writer import PartsWriter
from maskgen.datasets.parts import Part, Parts
from maskgen.errors import ConfigError, ImageError
from maskgen.formats import FORMATS, format_of
from maskgen.manifest import Extras, Row
from maskgen.ordering import Sorted, Spool

SHARD_SIZE: Final = 10_000
"""Samples per shard."""
_SHARD: Final = "shard-{:06d}.tar"
_IS_SHARD: Final = re.compile(r"shard-\d{6,}\.tar")


@dataclass(frozen=True)
class WebDatasetWriter(PartsWriter):
    """Writes shards of tar in natural order of keys, the same bytes each time.

    A sample is called as `FolderWriter` would call its file, without the ending and with ``_`` for other dots, because
    readers take a name up to its first dot for the key. It has the picture, what lay beside its source, ``cls`` if it
    has a label, and ``json`` if it has an identity that nothing else tells.

    Parameters
    ----------
    root : Path
        The folder, resolved.
    shard_size : int
        Samples per shard.
    variants, originals, copy_skipped :
        As those of `FolderWriter`.
    saved : tuple of str
        What is saved beside masked pictures, in the sample: ``KEY.alpha.png``.
    """

    root: Path
    shard_size: int = SHARD_SIZE
    variants: int = 1
    originals: bool = False
    copy_skipped: bool = False
    saved: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """As `Writer.home`: the folder itself."""
        return self.root

    def check(self, settings: Any) -> None:
        """As `Writer.check`: shards hold whatever there is."""
        super().check(settings)
        if self.shard_size < 1:
            raise ConfigError(f"{self.shard_size} samples per shard", "{shard_size} must be at least 1")

    def part(self, name: str) -> AbstractContextManager[Part]:
        """As `Writer.part`."""
        return Parts(self.root).part()

    def clashes(self, keys: Callable[[], Iterable[str]], are_settled: Callable[[list[str]], set[str]]) -> list[Fault]:
        """As `Writer.clashes`."""
        keeps_names = self.originals or self.copy_skipped
        return clashes_of(keys, are_settled, Naming(self._names_of, keeps_names, sample_name))

    def clear(self, rows: Iterable[Row]) -> None:
        """As `Writer.clear`."""
        self._finals.clear()
        Former(self.root).forget()

    def finish(self, rows: Iterable[Row]) -> Iterator[Row]:
        """As `Writer.finish`. A row whose picture cannot be read any more has failed, as ``lost``.

        Rows and pictures are sorted on disk. Where shards need not change they are left as they are.

        Raises
        ------
        ConfigError
            If a file is in the way that no run wrote.
        MaskgenError
            If nothing can be written.
        """
        self._finals.refuse_foreign()
        with files.named_faults(self.root), ExitStack() as stack:
            files.make_folder(self.root)
            spool = stack.enter_context(Spool(self.root))
            in_order = stack.enter_context(Sorted((one for one in named(rows, spool) if one.place), self.root))
            if self._stand_already(in_order):
                yield from (self._with_saved(Row.model_validate_json(line)) for line in spool)
            else:
                by_number = stack.enter_context(Sorted(self._pack(in_order), self.root))
                yield from map(self._with_saved, rows_with(spool, (place for _, place in by_number)))
            Former(self.root).forget()

    @property
    def _finals(self) -> Finals:
        return self._finals_with(())

    def _finals_with(self, made: Iterable[str]) -> Finals:
        there = (path.name for path in self.root.glob("shard-*.tar") if _IS_SHARD.fullmatch(path.name))
        return Finals(self.root, tuple(sorted({*there, *made})))

    def _with_saved(self, row: Row) -> Row:
        """The row with the places of what is saved beside its masked pictures: members of the same sample."""
        if not self.saved:
            return row
        variants = []
        for variant in row.variants:
            shard, _, member = (variant.place or "").partition("#")
            extras = Extras(**{name: f"{shard}#{_split(member)[0]}.{name}.png" for name in self.saved})
            variants.append(variant.model_copy(update={"extras": extras if variant.place else None}))
        return row.model_copy(update={"variants": tuple(variants)})

    def _names_of(self, key: str) -> list[str]:
        return names_of(key, self.variants, self.originals)

    def _name_of(self, item: Named) -> str:
        """The ``__key__`` of a picture."""
        return sample_name(item.key if item.variant is None else self._names_of(item.key)[item.variant - 1])

    def _sample(self, place: str) -> Sample:
        if Parts(self.root).holds(place):
            return Parts(self.root).read(place)
        shard, _, member = place.partition("#")
        path = Former(self.root).path(shard)
        stamp = files.stamp_of(path) if _IS_SHARD.fullmatch(shard) else None
        key, ending = _split(member)
        spans = {} if stamp is None else _index_of(path, stamp).get(key, {})
        if ending not in spans:
            raise ImageError(f"{place}: not there")
        try:
            with open(files.open_regular(path), "rb") as file:
                found = {ending: _read(file, *span) for ending, span in spans.items()}
        except OSError as error:
            raise ImageError(f"{place}: cannot be read: {error.strerror}") from error
        return Sample(found.pop(ending), found)

    def _stand_already(self, in_order: Iterable[Any]) -> bool:
        """Whether the shards of the former run are those that would be written."""
        number = -1
        for number, values in enumerate(in_order):
            item = Named(*values)
            shard, _, member = item.place.partition("#")
            if shard != _SHARD.format(number // self.shard_size) or _split(member)[0] != self._name_of(item):
                return False
            if Former(self.root).path(shard) != self.root / shard or not (self.root / shard).exists():
                return False
        shards = self._finals.names
        if len(shards) != number // self.shard_size + 1:
            return False
        if not shards:
            return True
        last = self.root / shards[-1]
        stamp = files.stamp_of(last)
        return stamp is not None and len(_index_of(last, stamp)) == number % self.shard_size + 1

    def _pack(self, in_order: Iterable[Any]) -> Iterator[tuple[int, str]]:
        """Write the shards; (number, new place) of each picture, with an empty place where it is lost.

        The shards have their names before the last is given.
        """
        made: dict[str, Path] = {}
        with ExitStack() as stack:
            tar: tarfile.TarFile | None = None
            written = 0
            for values in in_order:
                item = Named(*values)
                try:
                    sample = self._sample(item.place)
                except ImageError:
                    # Its row says that it is lost, and the next run makes it again.
                    yield item.number, ""
                    continue
                if tar is None or written % self.shard_size == 0:
                    if tar is not None:
                        _close(tar)
                    shard = _SHARD.format(written // self.shard_size)
                    made[shard] = self.root / files.temporary_name()
                    stack.callback(made[shard].unlink, missing_ok=True)
                    tar = _open(made[shard])
                    stack.callback(_abandon, tar)
                yield item.number, f"{shard}#{_add(tar, self._name_of(item), item, sample)}"
                written += 1
            if tar is not None:
                _close(tar)
            former = self._finals
            former.refuse_foreign()
            Former(self.root).keep(former.names)
            if made:
                self._finals_with(made).replace(made)
            else:
                former.clear()


def sample_name(place: str) -> str:
    """The ``__key__`` of what a folder would hold at a place.

    Examples
    --------
    >>> sample_name("ann/2.b.jpg"), sample_name("shard-1.2/0001")
    ('ann/2_b', 'shard-1.2/0001')
    """
    path = PurePosixPath(place)
    stem = path.stem if format_of(path.name) else path.name
    return str(path.with_name(stem.replace(".", "_")))


def _add(tar: tarfile.TarFile, name: str, item: Named, sample: Sample) -> str:
    """Add a sample; the name of the member that is its picture."""
    extras = {ending.strip("./").replace("/", "_") or "extra": raw for ending, raw in sample.extras.items()}
    known = {ending.lower() for ending in extras}
    if item.label is not None and "cls" not in known:
        extras["cls"] = str(item.label).encode()
    if item.identity is not None and item.identity != str(item.label) and "json" not in known:
        extras["json"] = json.dumps({"identity": item.identity}).encode()
    ending = _ending_of(sample.raw, item.key, extras)
    for each, raw in ((ending, sample.raw), *sorted(extras.items())):
        info = tarfile.TarInfo(f"{name}.{each}")
        info.size, info.mode = len(raw), 0o644
        tar.addfile(info, io.BytesIO(raw))
        # Or it would hold all of them.
        tar.members.clear()  # type: ignore[attr-defined]
    return f"{name}.{ending}"


def _ending_of(raw: bytes, key: str, extras: Mapping[str, bytes]) -> str:
    """An ending for a picture that makes readers take it, and no picture that lies beside it."""
    header = images.format_and_size(raw)
    format = format_of(key) if header is None else header[0]
    # The content counts, not the ending: one that comes first matters more than one that fits.
    fitting = [ending[1:] for ending, known in FORMATS.items() if known == format] or ["jpg"]
    others = [ending for ending in extras if "." not in ending and format_of(f"x.{ending}")]
    possible = (*fitting, *sorted(ending[1:] for ending in FORMATS))
    return next((ending for ending in possible if all(ending < other for other in others)), fitting[0])


def _open(path: Path) -> tarfile.TarFile:
    return tarfile.TarFile(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


def _close(tar: tarfile.TarFile) -> None:
    tar.close()
    # Or a power cut could leave the new name with none of the new bytes.
    with open(tar.name, "rb+") as file:  # type: ignore[arg-type]
        os.fsync(file.fileno())


def _abandon(tar: tarfile.TarFile) -> None:
    if tar.fileobj is not None:
        tar.fileobj.close()


@lru_cache(maxsize=4)
def _index_of(path: Path, stamp: str) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """Key -> ending -> offset and size, of a shard that a run wrote."""
    index: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    with contextlib.suppress(OSError):
        for member in tars.members(path):
            if isinstance(member, tars.Member):
                key, ending = _split(member.name)
                index[key][ending] = member.offset, member.size
    return index


def _split(member: str) -> tuple[str, str]:
    folder, slash, name = member.rpartition("/")
    stem, _, ending = name.partition(".")
    return f"{folder}{slash}{stem}", ending


def _read(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    return bytes(file.read(size))

"""All that reads files from outside: one class per kind, with whole inputs made by code.

A new format adds a class here, and a line in `READERS`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import sys
import types
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
from PIL import Image, ImageCms

# Helpers of the tests import each other by their bare names, as pytest lets them.
sys.path.append(str(Path(__file__).parents[1]))

from catalogs import small_catalog
from fakes import FakeDetectors, write_picture
from people import portrait
from pictures import busy, chunk, exif_of, png_of, saved, segment, smooth, with_chunks, with_segments

from maskgen import images, manifest, run
from maskgen.catalog import bundle
from maskgen.catalog.store import CATALOG_FILE, Catalog
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.datasets.pairlists import read_pairs
from maskgen.datasets.verification import read_bin
from maskgen.parallel import InProcess
from maskgen.run.stamps import STAMPS_FILE
from tests.attack.fuzz import Reader

_TIME: Final = 10**18
"""When all files were changed, nanoseconds: the same at every start, or no mutation could be made again."""


def lacking(reader: Reader) -> str | None:
    """The first library that a reader needs and that is not installed."""
    needs = getattr(reader, "needs", ())
    return next((name for name in needs if importlib.util.find_spec(name) is None), None)


# ---- pictures


@cache
def _jpegs() -> tuple[bytes, ...]:
    exif = exif_of([(0x0112, 3, 1, b"\6\0\0\0"), (0x8769, 4, 1, b"\x1a\0\0\0")])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:tiff="t"><r tiff:Orientation="6"/></x:xmpmeta>'
    plain = saved(busy(), "JPEG", quality=80)
    return (
        plain,
        saved(busy(), "JPEG", progressive=True),
        saved(busy(), "JPEG", exif=exif, icc_profile=profile),
        saved(smooth(17, 9), "JPEG", restart_marker_blocks=2, subsampling=2),
        saved(Image.fromarray(smooth()).convert("CMYK"), "JPEG"),
        saved(smooth()[..., 0], "JPEG"),
        with_segments(plain, segment(0xE1, xmp), segment(0xFE, b"a comment")),
    )


@cache
def _pngs() -> tuple[bytes, ...]:
    grey = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16, 1)
    alpha = np.dstack([smooth(), smooth()[..., 0]])
    return (
        saved(smooth(), "PNG", exif=exif_of([(0x0112, 3, 1, b"\x03\0\0\0")])),
        saved(alpha, "PNG"),
        saved(Image.fromarray(smooth()).quantize(17), "PNG", transparency=3),
        png_of(grey * 300, 16, 0, chunk(b"tRNS", b"\0\x03")),
        png_of(np.dstack([grey, grey, grey]) * 300, 16, 2),
        png_of(grey % 2, 1, 0),
        with_chunks(saved(smooth(), "PNG"), chunk(b"iCCP", b"a\0\0x"), chunk(b"zTXt", b"b\0\0y"), chunk(b"tIME", b"")),
        saved(Image.fromarray(smooth()), "PNG", save_all=True, append_images=[Image.fromarray(smooth()[::-1].copy())]),
    )


@cache
def _tiffs() -> tuple[bytes, ...]:
    import tifffile

    def written(pixels: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, datetime=False, software=False, metadata=None, **options)
        return buffer.getvalue()

    deep = smooth().astype(np.uint16) * 257
    return (
        *(saved(smooth(), "TIFF", compression=how) for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        saved(Image.fromarray(smooth()).convert("1"), "TIFF", compression="group4"),
        written(deep[..., 0], photometric="miniswhite"),
        written(deep, photometric="rgb", planarconfig="contig", byteorder=">"),
        written(deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        written(np.tile(smooth(), (2, 2, 1)), photometric="rgb", tile=(32, 32)),
    )


@cache
def _other_pictures() -> tuple[bytes, ...]:
    frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1].copy())]
    return (
        saved(smooth(), "BMP"),
        saved(Image.fromarray(smooth()).quantize(9), "BMP"),
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        saved(Image.fromarray(smooth()).quantize(9), "GIF", transparency=2),
        saved(smooth(), "WEBP", quality=80, exif=exif_of([(0x0112, 3, 1, b"\x08\0\0\0")])),
        saved(np.dstack([smooth(), smooth()[..., 0]]), "WEBP", lossless=True),
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
    )


@cache
def _new_pictures() -> tuple[bytes, ...]:
    found = [saved(smooth(), "AVIF", speed=9, max_threads=1)] if _has_avif() else []
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        found.append(saved(smooth(), "HEIF"))
    return tuple(found)


def _has_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures, whatever their format: in all ways that pictures which were cut short are treated."""

    name: str
    make: Any
    needs: tuple[str, ...] = ()
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        return list(self.make())

    def read(self, raw: bytes, folder: Path) -> None:
        for_messages, errors = Path("a.jpg"), []
        for truncated in (None, "keep", "fail"):
            try:
                images.decode(raw, for_messages, 2_000_000, truncated)
            except images.decoding.ImageError as error:
                errors.append(error)
        if errors:
            raise errors[0]


# ---- datasets


@dataclass(frozen=True)
class VerificationSets:
    """InsightFace's ``.bin``, with all its pictures."""

    name: str = "bin"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        pictures = [saved(portrait(person, 0), "PNG") for person in range(4)]
        small = [smooth(6, 5), smooth(6, 5)]
        return [
            *(pickle.dumps((pictures, [True, False]), protocol) for protocol in (0, 2, 4, 5)),
            pickle.dumps(([np.frombuffer(one, np.uint8) for one in pictures], np.array([True, False])), 2),
            pickle.dumps((np.array(small), [True]), 5),
            pickle.dumps((small, [np.bool_(True)]), 4),
        ]

    def read(self, raw: bytes, folder: Path) -> None:
        found = read_bin(_written(folder / "a.bin", raw))
        for number in range(min(len(found.pictures), 8)):
            found.read(str(number))


@dataclass(frozen=True)
class PairLists:
    """Lists of pairs, beside a folder of their pictures."""

    name: str = "pairs"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        lfw = "1\t2\nann\t1\t2\nbob\t1\t2\nann\t1\tbob\t1\nann\t2\tbob\t2\n"
        plain = "".join(f"ann/ann_0001.jpg,bob/bob_000{number}.jpg,0\n" for number in (1, 2))
        folds = '"ann/ann_0001.jpg" ann/ann_0002.jpg 1 0\nann/ann_0001.jpg bob/bob_0001.jpg 0 1\n'
        lines = "ann/ann_0001.jpg 1\nann/ann_0002.jpg 1\nann/ann_0001.jpg 0\nbob/bob_0001.jpg 0\n"
        texts = (lfw, lfw.partition("\n")[2], plain, folds, lines)
        return [*(text.encode() for text in texts), plain.encode("utf-16"), plain.encode("utf-8-sig")]

    def read(self, raw: bytes, folder: Path) -> None:
        root = folder / "root"
        if not root.exists():
            for person in ("ann", "bob"):
                (root / person).mkdir(parents=True)
                for number in (1, 2):
                    (root / person / f"{person}_{number:04d}.jpg").touch()
        read_pairs(_written(folder / "pairs.txt", raw), root)


# ---- catalogs


@dataclass(frozen=True)
class CatalogFiles:
    """``catalog.json``; the pictures that it names are there."""

    name: str = "catalog"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        return [(_catalog() / CATALOG_FILE).read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        root = folder / "catalog"
        if not root.exists():
            shutil.copytree(_catalog(), root)
        _written(root / CATALOG_FILE, raw)
        Catalog.load(root).preload()


@dataclass(frozen=True)
class CatalogPictures:
    """A picture of a mask; the catalog that names it is whole."""

    name: str = "catalog-png"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(_catalog().glob("*.png"))]

    def read(self, raw: bytes, folder: Path) -> None:
        root = folder / "catalog"
        if not root.exists():
            shutil.copytree(_catalog(), root)
        _written(root / "red_0.png", raw)
        Catalog.load(root).preload()


@dataclass(frozen=True)
class CatalogZips:
    """A catalog in one file."""

    name: str = "catalog-zip"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        whole = io.BytesIO()
        path = _catalog().parent / "catalog.zip"
        bundle.export(Catalog.load(_catalog()), path)
        with zipfile.ZipFile(path) as stored, zipfile.ZipFile(whole, "w") as deflated:
            for info in stored.infolist():
                deflated.writestr(zipfile.ZipInfo(info.filename), stored.read(info), zipfile.ZIP_DEFLATED)
        return [path.read_bytes(), whole.getvalue()]

    def read(self, raw: bytes, folder: Path) -> None:
        bundle.read(_written(folder / "a.zip", raw))


# ---- output folders


@dataclass(frozen=True)
class Outputs:
    """One file of an output folder that a next run finds; nothing outside of the folder may change."""

    name: str
    file: str
    is_text: bool = True
    needs: tuple[str, ...] = ()

    def seeds(self) -> list[bytes]:
        return [(_output() / "out" / self.file).read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        base = folder / "run"
        if not base.exists():
            shutil.copytree(_output(), base, symlinks=True)
        path = _written(base / "out" / self.file, raw)
        # To look up the versions of libraries takes ten times as long as all the rest.
        with mock.patch("importlib.metadata.version", _version):
            run.prepare(_job(base))
        if self.file == manifest.MANIFEST_FILE:
            copy = _written(folder / "manifest.jsonl", raw)
            places = [place for row in manifest.read(copy) for place in row.places]
            manifest.sort(copy)
        elif path.suffix == ".journal":
            places = sorted(FolderWriter(path.parent).unsettled())
        else:
            return
        # As a run that starts anew: what the file names is deleted, if it lies in the output.
        FolderWriter((base / "empty").resolve()).discard(places)
        assert (base / "in" / "a" / "1.jpg").is_file()
        assert (base / "catalog" / CATALOG_FILE).is_file()


_version = cache(importlib.metadata.version)


def _job(base: Path) -> run.Job:
    settings = run.AugmentSettings(catalog=base / "catalog")
    execution = run.Execution(workers=1)
    return run.Job(base / "in", base / "out", settings, execution, source_name="in", detectors=FakeDetectors())


# ---- networks


@cache
def _networks() -> tuple[bytes, ...]:
    """A small IResNet and a small MobileFaceNet as ONNX."""
    import torch

    from maskgen.train import bases, export

    torch.set_num_threads(1)
    found = []
    for base in ("scratch:mbf:0.0625", "scratch:r18:0.0625"):
        torch.manual_seed(0)
        path = _scratch() / "network.onnx"
        export.write_onnx(bases.load(base), path)
        found.append(path.read_bytes())
    return tuple(found)


@dataclass(frozen=True)
class Bases:
    """An ONNX file to train from: mapped to a network, and compared with it."""

    name: str = "base-onnx"
    is_text: bool = False
    needs: tuple[str, ...] = ("torch", "onnx")

    def seeds(self) -> list[bytes]:
        return list(_networks())

    def read(self, raw: bytes, folder: Path) -> None:
        import torch

        from maskgen.train import bases

        torch.set_num_threads(1)
        bases.load(str(_written(folder / "a.onnx", raw)))


@dataclass(frozen=True)
class States:
    """A ``backbone.pth`` to train from."""

    name: str = "base-pth"
    is_text: bool = False
    needs: tuple[str, ...] = ("torch",)

    def seeds(self) -> list[bytes]:
        import torch

        from maskgen.train import bases, export

        torch.manual_seed(0)
        export.write_pth(bases.load("scratch:mbf:0.0625"), _scratch() / "a.pth")
        return [(_scratch() / "a.pth").read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        import torch

        from maskgen.train import bases

        torch.set_num_threads(1)
        bases.load(str(_written(folder / "a.pth", raw)))


@dataclass(frozen=True)
class Recognisers:
    """An ONNX file to evaluate, alone and as part of a pack."""

    name: str = "eval-onnx"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        from onnx import TensorProto, helper, numpy_helper

        weights = np.random.default_rng(0).normal(0, 0.01, (3 * 112 * 112, 1)).astype(np.float32)
        nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 3, 112, 112))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 1))],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return [model.SerializeToString(deterministic=True)]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.evaluate.embed import Embedder, file_of

        path = _written(folder / "pack" / "a.onnx", raw)
        file_of(str(path.parent))
        Embedder(path, threads=1)


@dataclass(frozen=True)
class Packs:
    """The detector of a model pack."""

    name: str = "pack"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        from maskgen.packs.find import BUNDLED, pack_dir

        return [(pack_dir(BUNDLED) / "det.onnx").read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.detect import FaceDetector
        from maskgen.packs.find import BUNDLED, pack_dir

        path = _written(folder / "pack" / "det.onnx", raw)
        if not (path.parent / "1k3d68.onnx").exists():
            shutil.copy(pack_dir(BUNDLED) / "1k3d68.onnx", path.parent)
        FaceDetector(str(path.parent)).detect(portrait(0, 0))


# ---- trainings


@dataclass(frozen=True)
class TrainingSettings:
    """``settings.json`` of a training that is to go on."""

    name: str = "train-settings"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        from maskgen.train.settings import TrainSettings

        settings = TrainSettings(data=Path("data"), base="scratch:mbf")
        return [json.dumps(settings.model_dump(mode="json"), indent=1).encode()]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.train.settings import TrainSettings, refuse_others

        settings = TrainSettings(data=Path("data"), base="scratch:mbf")
        refuse_others(_written(folder / "settings.json", raw), settings)


@dataclass(frozen=True)
class Checkpoints:
    """One file of a checkpoint of a training that is to go on: weights, optimizer, random generators or progress."""

    name: str
    file: str
    is_text: bool = False
    needs: tuple[str, ...] = ("torch", "accelerate")

    def seeds(self) -> list[bytes]:
        return [(_checkpoint() / self.file).read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.train import folder as training

        checkpoint = folder / "step-000000001"
        if not checkpoint.exists():
            shutil.copytree(_checkpoint(), checkpoint)
        _written(checkpoint / self.file, raw)
        training.load(_accelerator(), checkpoint)


@cache
def _accelerator() -> Any:
    import torch
    from accelerate import Accelerator

    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    network = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network, optimizer = accelerator.prepare(network, optimizer)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return accelerator


@cache
def _checkpoint() -> Path:
    from maskgen.train import folder as training
    from maskgen.train.settings import TrainState

    training.save(_accelerator(), _scratch(), TrainState(step=1))
    return _scratch() / training.CHECKPOINTS / "step-000000001"


# ---- what they share


@cache
def _keeper() -> Any:
    import tempfile

    return tempfile.TemporaryDirectory(prefix="maskgen-fuzz-seeds-", ignore_cleanup_errors=True)


def _scratch() -> Path:
    return Path(_keeper().name)


@cache
def _catalog() -> Path:
    root = _scratch() / "catalog"
    root.mkdir()
    return small_catalog(root, {"red": 1, "blue": 2})


@cache
def _output() -> Path:
    """A finished run beside its input, which has got a picture more, and a journal of a run that was killed."""
    base = _scratch() / "run"
    for name in ("a/1.jpg", "a/2.png", "b/1.jpg"):
        write_picture(base / "in" / name)
    write_picture(base / "in" / "b" / "none.jpg", "no_face")
    (base / "in" / "b" / "broken.jpg").write_bytes(b"broken")
    shutil.copytree(_catalog(), base / "catalog")
    run.run(_job(base), executor=InProcess())
    out = base / "out"
    write_picture(base / "in" / "b" / "later.jpg")
    shutil.copy(base / "in" / "b" / "later.jpg", out / "b" / "later.jpg")
    for path in base.rglob("*"):
        os.utime(path, ns=(_TIME, _TIME))
    size = (out / "b" / "later.jpg").stat().st_size
    (out / ".maskgen-x.journal").write_text(json.dumps(["b/later.jpg", f"{size}-{_TIME}"]) + "\n")
    marks = re.sub(r"(\d+)-\d{15,}", rf"\1-{_TIME}", (out / STAMPS_FILE).read_text())
    (out / STAMPS_FILE).write_text(marks)
    return base


def _written(path: Path, raw: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


_ALL: Final[tuple[Reader, ...]] = (
    Pictures("jpeg", _jpegs),
    Pictures("png", _pngs),
    Pictures("tiff", _tiffs, ("tifffile",)),
    Pictures("other-pictures", _other_pictures),
    *([Pictures("avif-heic", _new_pictures)] if _has_avif() or importlib.util.find_spec("pillow_heif") else []),
    VerificationSets(),
    PairLists(),
    CatalogFiles(),
    CatalogPictures(),
    CatalogZips(),
    Outputs("manifest", manifest.MANIFEST_FILE),
    Outputs("run", manifest.RUN_FILE),
    Outputs("stamps", STAMPS_FILE),
    Outputs("journal", ".maskgen-x.journal"),
    Bases(),
    States(),
    Recognisers(),
    Packs(),
    TrainingSettings(),
    Checkpoints("checkpoint-progress", "progress.json", is_text=True),
    Checkpoints("checkpoint-weights", "model.safetensors"),
    Checkpoints("checkpoint-optimizer", "optimizer.bin"),
    Checkpoints("checkpoint-random", "random_states_0.pkl"),
)
READERS: Final = types.MappingProxyType({reader.name: reader for reader in _ALL})

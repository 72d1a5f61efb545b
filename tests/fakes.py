"""A detector that needs no model, and pictures that tell it what to find."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from strategies import face_at

from maskgen import run
from maskgen.face import HeadPose
from maskgen.parallel import InProcess

SIDE = 200
COLOURS = {
    "face": (120, 120, 120),
    "two_faces": (0, 120, 0),
    "no_face": (0, 0, 0),
    "back_of_head": (0, 0, 120),
    "bug": (120, 0, 0),
    "interrupt": (120, 120, 0),
    "kill": (0, 120, 120),
}


def pixels(kind="face", size_wh=(SIDE, SIDE), detail=0):
    """A plain picture whose colour says what `FakeDetector` finds in it, with a few grey stripes that differ."""
    image = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    image[:] = COLOURS[kind]
    image[: size_wh[1] // 8, :: 2 + detail % 5] //= 2
    return image


def write_picture(path: Path, kind="face", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(kind, detail=len(path.name))).save(path, **options)


@dataclass(frozen=True)
class FakeDetector:
    interrupts: bool = True
    kills_once: Path | None = None

    def detect(self, image):
        middle = image[image.shape[0] // 2 :].reshape(-1, 3).mean(axis=0)
        kind = min(COLOURS, key=lambda name: np.abs(middle - COLOURS[name]).sum())
        if kind == "bug":
            raise ZeroDivisionError("no such luck")
        if kind == "interrupt" and self.interrupts:
            raise KeyboardInterrupt
        if kind == "kill" and self.interrupts and not (self.kills_once and self.kills_once.exists()):
            if self.kills_once:
                self.kills_once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        height, width = image.shape[:2]
        scale = min(height, width) / SIDE
        if kind == "no_face":
            return []
        if kind == "two_faces":
            return [
                face_at(HeadPose(0, 0, 0), scale * 0.6, (width * 0.3, height * 0.45)),
                face_at(HeadPose(0, 0, 0), scale * 0.4, (width * 0.75, height * 0.45)),
            ]
        return [face_at(HeadPose(170 if kind == "back_of_head" else 5, 0, 0), scale * 0.8, (width / 2, height * 0.45))]


@dataclass(frozen=True)
class FakeDetectors:
    """Detectors without a model.

    With `interrupts` off, the pictures that end a run have a face after all; so have they once `kills_once` is a file.
    """

    interrupts: bool = True
    hash: str = "f" * 64
    kills_once: Path | None = None

    def build(self):
        return FakeDetector(self.interrupts, self.kills_once)

    def parser(self):
        return None

    def sha256(self):
        return self.hash


def mask(job, on_progress=lambda progress: None):
    """Run a job; one with a single worker in this process, where tests can patch what it uses."""
    return run.run(job, on_progress, InProcess() if job.execution.workers == 1 else None)

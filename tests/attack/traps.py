"""Readers that test the attack itself. Light, for each finding starts a process anew."""

from __future__ import annotations

import ctypes
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from maskgen.errors import ImageError
from tests.attack.fuzz import Reader


@dataclass(frozen=True)
class Traps:
    """Does something bad with some inputs."""

    name: str = "traps"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        return [b"fine", b"hang", b"memory", b"signal", b"value", b"exit", b"refuse", b"fine"]

    def read(self, raw: bytes, folder: Path) -> None:
        if raw == b"hang":
            time.sleep(60)
        elif raw == b"memory":
            bytearray(2**28)[::4096] = b"x" * 2**16
        elif raw == b"signal":
            ctypes.string_at(0)
        elif raw == b"value":
            raise ValueError("out of place")
        elif raw == b"exit":
            raise SystemExit(3)
        elif raw == b"refuse":
            raise ImageError("no")


@dataclass(frozen=True)
class Echo:
    """Says which inputs another reader would get."""

    reader: Reader

    @property
    def name(self) -> str:
        return self.reader.name

    @property
    def is_text(self) -> bool:
        return self.reader.is_text

    def seeds(self) -> list[bytes]:
        return self.reader.seeds()

    def read(self, raw: bytes, folder: Path) -> None:
        raise ImageError(hashlib.sha256(raw).hexdigest())

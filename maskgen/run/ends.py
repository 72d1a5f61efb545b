"""Where a job's pictures come from and where they go to, by what its paths are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from maskgen.datasets.base import Entry, Fault, Reader, Writer
from maskgen.datasets.open import format_of_path, open_reader, open_writer
from maskgen.errors import ConfigError
from maskgen.formats import Format
from maskgen.run.settings import Job


class Ends(NamedTuple):
    """Where pictures come from, where they go to, and what they come from is."""

    reader: Reader
    writer: Writer
    in_format: Format


def open_both(job: Job) -> Ends:
    """Where a job's pictures come from and go to; nothing is written.

    Raises
    ------
    ConfigError
        If they cannot be read there, there are none, or they cannot go there.
    """
    settings = job.settings
    in_format = "bin" if job.root is not None else settings.in_format or format_of_path(job.source)
    reader = open_reader(job.source, job.target, settings.max_pixels, in_format, job.root)
    writer = open_writer(job.target, settings, in_format, reader)
    writer.check(settings)
    if not any(isinstance(found, Entry) for chunk in reader.chunks(16) for found in chunk):
        faults = [found for chunk in reader.chunks(1024) for found in chunk if isinstance(found, Fault)]
        raise ConfigError(f"{job.source}: no picture in it{_what_else(faults)}", "see 'maskgen help formats'")
    return Ends(reader, writer, in_format)


def _what_else(faults: Sequence[Fault]) -> str:
    if not faults:
        return ", it is empty"
    reasons = Counter(fault.reason for fault in faults)
    counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return f", but {counted}, such as {faults[0].key}"

"""Many pictures: list them, plan what is left to do, work on them in parallel, record each, sum up."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from maskgen.run.job import NothingReadError, Progress, Shares, Summary, run
    from maskgen.run.plan import Numbers, Plan, prepare
    from maskgen.run.record import Masks
    from maskgen.run.settings import AugmentSettings, Execution, Job, Share

__all__ = [
    "AugmentSettings",
    "Execution",
    "Job",
    "Masks",
    "NothingReadError",
    "Numbers",
    "Plan",
    "Progress",
    "Share",
    "Shares",
    "Summary",
    "prepare",
    "run",
]

_HOMES: Final = {
    "AugmentSettings": "settings",
    "Execution": "settings",
    "Job": "settings",
    "Masks": "record",
    "NothingReadError": "job",
    "Numbers": "plan",
    "Plan": "plan",
    "Progress": "job",
    "Share": "settings",
    "Shares": "job",
    "Summary": "job",
    "prepare": "plan",
    "run": "job",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: the command line knows the settings without loading what does the work.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

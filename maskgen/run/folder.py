"""A dataset masked by one call."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from maskgen.run.job import Progress, Summary, run
from maskgen.run.settings import AugmentSettings, Execution, Existing, Job


def augment_folder(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    workers: int | None = None,
    existing: Existing = "auto",
    retry_failed: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    **settings: Any,
) -> Summary:
    """Mask a dataset of any format: what ``maskgen augment`` does. The same call goes on with one that was stopped.

    Parameters
    ----------
    source, target : path
        What is read, and what is written.
    workers : int, optional
        Number of processes; by default one per core.
    existing : {"auto", "resume", "overwrite"}
        As in `maskgen.run.Execution`: what to do with a target that holds a run already.
    retry_failed : bool
        Also try inputs again that failed in a former run.
    on_progress : callable
        Told after every row.
    **settings
        Fields of `maskgen.run.AugmentSettings`, such as ``seed``, ``variants``, ``originals``, ``wear``.

    Returns
    -------
    Summary
        `counts` has the whole manifest in numbers.

    Raises
    ------
    ConfigError
        If settings contradict each other or the folders, or the target holds a run of others.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    MaskgenError
        If not one picture could be read, or nothing can be written.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from skimage.data import astronaut
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "in").mkdir()
    >>> Image.fromarray(astronaut()).save(folder / "in" / "eileen.png")
    >>> summary = augment_folder(folder / "in", folder / "out", workers=1, seed=7)
    >>> summary.counts.done, [path.name for path in (folder / "out").glob("*.png")]
    (1, ['eileen.png'])
    """
    execution = Execution(workers, existing=existing, retry_failed=retry_failed)
    return run(Job(Path(source), Path(target), AugmentSettings(**settings), execution), on_progress)

"""Work through many items in processes. Knows nothing of pictures.

executor = LocalExecutor(workers=4)
for result in executor.run(work, chunks_of(items, 16)):
    if isinstance(result, Crash): ...
"""

from maskgen.parallel.base import Crash, Executor, chunks_of, in_order
from maskgen.parallel.dask import DaskExecutor
from maskgen.parallel.local import InProcess, LocalExecutor

__all__ = ["Crash", "DaskExecutor", "Executor", "InProcess", "LocalExecutor", "chunks_of", "in_order"]

"""The local engine: runs a stage over Arrow batches in processes of its own, in order, with bounded memory.

A stage is a function at the top of a module, `stage(batch, settings) -> batch`. It knows nothing of where it runs and
keeps no state outside its batch, the database and the content-addressed caches.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from review.services.processes import Spawning

Stage = Callable[[Any, Any], Any]


def run_stage(stage: Stage, batches: Iterable[Any], settings: Any, *, workers: int | None = None) -> Iterator[Any]:
    """Each batch through the stage, in the order they come.

    Args:
        stage: importable by name, because processes are started anew.
        batches: pyarrow.RecordBatch or Table; read only as fast as they are worked on.
        settings: the stage's settings, picklable.
        workers: processes; as many as there are cores by default, 0 runs in this process.
    """
    count = os.cpu_count() or 1 if workers is None else workers
    if count == 0:
        for batch in batches:
            yield stage(batch, settings)
        return
    pending: deque[Future[Any]] = deque()
    with ProcessPoolExecutor(count, mp_context=Spawning()) as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(stage, batch, settings))
                if len(pending) > 2 * count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for waiting in pending:
                waiting.cancel()

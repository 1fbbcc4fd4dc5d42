"""Worker processes that begin without running the caller's script again."""

from __future__ import annotations

import sys
import threading
import types
from multiprocessing.context import SpawnContext, SpawnProcess

_starting = threading.Lock()
_NOTHING = types.ModuleType("__main__")


class _Process(SpawnProcess):
    """A spawned process runs its parent's main script first, and in the app that is whichever page was shown last."""

    def start(self) -> None:
        with _starting:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = _NOTHING
            try:
                super().start()
            finally:
                # A page that began meanwhile has put its own there.
                if sys.modules["__main__"] is _NOTHING:
                    sys.modules["__main__"] = main


class Spawning(SpawnContext):
    """For ProcessPoolExecutor. spawn: a fork of a process with threads (DuckDB's, the server's) may stand for ever."""

    Process = _Process

"""Where commands read facts and hand facts in: in this process when the file is free, else through the running app."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from review.errors import NotFound
from review.services.workspace import Workspace
from review.settings import Settings

Document = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """What is asked: JSON `arguments`, an optional pyarrow.Table, who asks and when."""

    arguments: Mapping[str, Any]
    table: Any | None
    by: str
    now: datetime


@dataclass(frozen=True)
class Answer:
    """What came out: a JSON document, and a pyarrow.Table where rows were asked for."""

    document: Document = field(default_factory=dict[str, Any])
    table: Any | None = None


Operation = Callable[[Workspace, Call], Answer]

# An operation is short: it reads or writes one batch. What takes long is computed by whoever asks. Each is loaded when
# it is first asked for, as "module:function".
OPERATIONS: dict[str, str] = {}


class Desk(Protocol):
    """Runs operations, here or there. `key` derives ids and keyed hashes."""

    settings: Settings
    key: bytes

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, table: Any | None = None) -> Answer:
        """Run an operation. JSON values in, JSON values out; times are ISO 8601 text."""
        ...

    def close(self) -> None:
        """Let the file or the connection go."""
        ...


class LocalDesk:
    """The desk of the process that owns the file."""

    def __init__(self, workspace: Workspace, by: str) -> None:
        self.workspace, self.by = workspace, by
        self.settings, self.key = workspace.settings, workspace.key

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, table: Any | None = None) -> Answer:
        """Run an operation in this process."""
        return run(self.workspace, name, Call(arguments or {}, table, self.by, datetime.now(UTC)))

    def close(self) -> None:
        """Release the file."""
        self.workspace.close()


def run(workspace: Workspace, name: str, call: Call) -> Answer:
    """Run an operation by its name.

    Raises:
        NotFound: there is no such operation.
    """
    if name not in OPERATIONS:
        raise NotFound(f"There is no operation {name[:60]!r}.")
    module, _, function = OPERATIONS[name].partition(":")
    return cast(Operation, getattr(importlib.import_module(module), function))(workspace, call)

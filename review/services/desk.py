"""Where commands read facts and hand facts in: in this process when the file is free, else through the running app."""

from __future__ import annotations

import hashlib
import importlib
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from review import __version__
from review.errors import DatabaseLocked, NotFound, ReviewError
from review.settings import Settings

if TYPE_CHECKING:
    from review.adapters.door import Door
    from review.services.workspace import Workspace

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


Operation = Callable[["Workspace", Call], Answer]

# An operation is short: it reads or writes one batch. What takes long is computed by whoever asks. Each is loaded when
# it is first asked for, as "module:function".
OPERATIONS: dict[str, str] = {
    "pii.rules": "review.services.strip:rules",
    "pii.stand": "review.services.strip:stand",
    "pii.came": "review.services.strip:came",
    "cluster.state": "review.services.cluster_facts:state",
    "cluster.ids": "review.services.cluster_facts:ids",
    "cluster.texts": "review.services.cluster_facts:texts",
    "cluster.inputs": "review.services.cluster_facts:inputs",
    "cluster.save": "review.services.cluster_facts:save",
    "cluster.assign": "review.services.cluster_facts:assign",
    "cluster.assign_inputs": "review.services.cluster_facts:assign_inputs",
    "cluster.finish": "review.services.cluster_facts:finish",
    "cluster.add_suite": "review.services.cluster_facts:add_suite",
    "judge.look": "review.services.judge_facts:look",
    "judge.begin": "review.services.judge_facts:begin",
    "judge.todo": "review.services.judge_facts:todo",
    "judge.documents": "review.services.judge_facts:documents",
    "judge.originals": "review.services.judge_facts:originals",
    "judge.votes": "review.services.judge_facts:votes",
    "judge.record": "review.services.judge_facts:record",
    "judge.end": "review.services.judge_facts:end",
    "judge.totals": "review.services.judge_facts:totals",
    "import.begin": "review.services.upload:begin",
    "import.put": "review.services.upload:put",
    "import.end": "review.services.upload:end",
    "pipeline.draw": "review.services.pipeline_desk:draw",
    "contract.draft": "review.services.contracts:draft",
    "contract.examine": "review.services.contracts:examine",
    "contract.sign": "review.services.contracts:sign",
    "contract.read": "review.services.contracts:read",
    "contract.compare": "review.services.contracts:compare",
    "gate.take": "review.services.gate:take",
    "gate.read": "review.services.gate:read",
    "export.page": "review.services.export:page",
    "golden.gaps": "review.services.golden_drafts:gaps",
    "golden.count": "review.services.golden_drafts:count",
    "golden.version": "review.services.golden_score:version",
    "golden.answered": "review.services.golden_score:answered",
    "golden.scored": "review.services.golden_score:scored",
    "golden.people": "review.services.golden_score:people",
    "golden.pairs": "review.services.golden_score:make_pairs",
    "golden.known": "review.services.golden_desk:known",
    "golden.put": "review.services.golden_desk:put",
    "golden.read": "review.services.golden_desk:read",
    "golden.freeze": "review.services.golden_desk:freeze",
    "golden.versions": "review.services.golden_desk:versions",
    "golden.diff": "review.services.golden_desk:diff",
    "golden.show": "review.services.golden_desk:show",
    "rounds.draw": "review.services.operations:draw",
    "rounds.list": "review.services.operations:list_rounds",
    "report.section": "review.services.report:section",
    "runs.begin": "review.services.runs:begin",
    "runs.begin_part": "review.services.runs:begin_part",
    "runs.put": "review.services.runs:put_outcomes",
    "runs.end_part": "review.services.runs:end_part",
    "runs.read": "review.services.runs:read",
    "runs.outcomes": "review.services.runs:page_of_outcomes",
    "runs.look": "review.services.run_pairs:look",
    "runs.places": "review.services.run_pairs:places",
    "runs.pairs": "review.services.run_pairs:pairs",
    "shadow.put_metrics": "review.services.shadow:put_metrics",
    "shadow.sources": "review.services.shadow:sources",
    "status.read": "review.services.operations:status",
    "agreement.read": "review.services.operations:agreement",
    "parity.look": "review.services.operations:parity",
    "adversarial.verify": "review.services.operations:verify",
    "adversarial.look": "review.services.adversarial_replay:look",
    "adversarial.entries": "review.services.adversarial_replay:entries",
    "adversarial.missed": "review.services.missed:read",
    "watch.has_file": "review.services.watch_desk:has_file",
    "watch.took": "review.services.watch_desk:took",
    "watch.waiting": "review.services.watch_desk:waiting",
    "watch.fresh": "review.services.watch_desk:fresh",
    "watch.observe": "review.services.watch_desk:observe",
    "watch.score": "review.services.watch_desk:score",
    "watch.stands": "review.services.watch_desk:stands",
    "watch.plan": "review.services.watch_desk:plan",
    "watch.advance": "review.services.watch_desk:advance",
    "watch.evidence": "review.services.watch_cause:evidence",
    "watch.archive": "review.services.watch_cause:archive",
    "watch.judged_before": "review.services.watch_cause:judged_before",
    "watch.judges": "review.services.watch_desk:judges",
    "watch.finish": "review.services.watch_desk:finish",
    "watch.single_waiting": "review.services.watch_single_desk:waiting",
    "watch.single_fresh": "review.services.watch_single_desk:fresh",
    "watch.single_open": "review.services.watch_single_desk:unjudged",
    "watch.single_put": "review.services.watch_single_desk:put",
    "watch.single_known": "review.services.watch_single_desk:known",
    "watch.single_old_known": "review.services.watch_single_desk:old_known",
    "watch.single_ways": "review.services.watch_single_desk:ways",
    "watch.single_old": "review.services.watch_single_desk:old_answers",
    "watch.single_before": "review.services.watch_single_desk:judged_before",
    "alerts.pending": "review.services.alerts:pending",
    "alerts.put": "review.services.alerts:put",
    "alerts.outbox": "review.services.alerts:outbox",
    "alerts.claim": "review.services.alerts:claim",
    "alerts.settle": "review.services.alerts:settle",
    "alerts.read": "review.services.alerts:read",
    "alerts.answer": "review.services.alerts:answer",
    "traces.put": "review.services.traces:put",
    "traces.known": "review.services.traces:known",
    "traces.count": "review.services.traces:count",
    "traces.read": "review.services.traces:read",
    "traces.find": "review.services.traces:find",
    "sample.frame": "review.services.sample_desk:frame",
    "sample.cells": "review.services.sample_desk:cells",
    "sample.take": "review.services.sample_desk:take",
    "sample.audit": "review.services.sample_desk:audit",
    "sample.read": "review.services.sample_desk:read",
    "sample.finish": "review.services.sample_desk:finish",
    "synthesize.shapes": "review.services.synthesize:shapes",
    "replay.look": "review.services.replay_desk:look",
    "replay.places": "review.services.replay_desk:places",
    "replay.work": "review.services.replay_desk:work",
    "replay.adopt": "review.services.replay_desk:adopt",
    "replay.put": "review.services.replay_desk:put",
    "replay.fail": "review.services.replay_desk:fail",
    "replay.measure": "review.services.replay_desk:measure",
    "replay.noise": "review.services.replay_desk:noise",
    "replay.pair": "review.services.replay_desk:pair",
}
# Doing these twice is not the same as doing them once, so they are not asked again when the answer got lost.
ONCE = frozenset({"rounds.draw"})
# Seconds. How long a command that waits for nothing keeps the file to itself, and how long it waits for another.
_IDLE = 0.5
_PATIENCE = 10.0


class Desk(Protocol):
    """Runs operations, here or there. `key` derives ids and keyed hashes."""

    settings: Settings

    @property
    def key(self) -> bytes: ...

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, table: Any | None = None) -> Answer:
        """Run an operation. JSON values in, JSON values out; times are ISO 8601 text."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Keeps the file between questions, for what spans several of them."""
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

    def held(self) -> AbstractContextManager[None]:
        """It is held as it is."""
        return nullcontext()

    def close(self) -> None:
        """Release the file."""
        self.workspace.close()


class RemoteDesk:
    """The desk of a process beside the running app."""

    def __init__(self, door: Door, settings: Settings, key: bytes, by: str) -> None:
        self.door, self.settings, self.key, self.by = door, settings, key, by

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, table: Any | None = None) -> Answer:
        """Run an operation in the app.

        Raises:
            door.Unreachable: no answer came.
        """
        return Answer(*self.door.ask(name, arguments or {}, table, self.by))

    def held(self) -> AbstractContextManager[None]:
        """The app has the file."""
        return nullcontext()

    def close(self) -> None:
        """Let the connection go."""
        self.door.close()


class OpenDesk:
    """The desk of a command: asks the app while one runs, and has the file for itself, for moments, while none does.

    Between two questions the file is let go, so an app can be started while a long command works, and the command goes
    on through it; when the app ends, the command opens the file itself.
    """

    def __init__(self, settings: Settings, by: str, *, patience: float = _PATIENCE) -> None:
        self.settings, self._by, self._patience = settings, by, patience
        self._lock = threading.RLock()
        self._desk: LocalDesk | RemoteDesk | None = None
        self._timer: threading.Timer | None = None
        self._held = 0
        self.other_config = False
        with self._lock:
            self.key = self._open().key
            self._rest()

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, table: Any | None = None) -> Answer:
        """Run an operation, wherever it can be run now.

        Raises:
            DatabaseLocked: neither the file nor an app can be had.
            ReviewError: the operation's own; or it may be done or not, because the app went away meanwhile.
        """
        from review.adapters.door import Unreachable

        with self._lock:
            try:
                for _ in range(5):
                    try:
                        return self._open().ask(name, arguments, table)
                    except Unreachable as error:
                        self._drop()
                        if error.sent and name in ONCE:
                            break
                raise ReviewError(f"The app went away while it did {name}. See what stands, then ask again.")
            finally:
                self._rest()

    @property
    def beside_app(self) -> bool:
        """Whether an app has the database open now."""
        return isinstance(self._desk, RemoteDesk)

    @contextmanager
    def held(self) -> Generator[None]:
        """Keeps the file between questions, for what spans several of them."""
        with self._lock:
            self._held += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                self._rest()

    def close(self) -> None:
        """Let the file or the connection go."""
        with self._lock:
            self._drop()

    def _open(self) -> LocalDesk | RemoteDesk:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._desk is None:
            self._desk = self._connect()
        return self._desk

    def _connect(self) -> LocalDesk | RemoteDesk:
        """The app where one answers, else the file; a file that somebody else has for a moment is waited for."""
        from review.services.workspace import open_workspace

        until = time.monotonic() + self._patience
        while True:
            if (found := self._remote()) is not None:
                return found
            try:
                return LocalDesk(open_workspace(self.settings), self._by)
            except DatabaseLocked:
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)

    def _remote(self) -> RemoteDesk | None:
        from review.adapters.door import Door, read_address

        address = read_address(self.settings.api_file)
        if address is None:
            return None
        door = Door(address)
        hello = door.hello()
        if hello is None:
            door.close()
            return None
        if hello.version != __version__:
            door.close()
            raise DatabaseLocked(
                f"The app that has {self.settings.db} open (process {hello.pid}) is version {hello.version}, and this "
                f"command is version {__version__}. Restart the app, or use its own installation's command."
            )
        from review.services.workspace import read_key

        self.other_config = hello.config != digest_of(self.settings)
        return RemoteDesk(door, self.settings, read_key(self.settings.key_file), self._by)

    def _rest(self) -> None:
        """Let go of the file in a moment, unless something is asked before."""
        if self._held == 0 and isinstance(self._desk, LocalDesk) and self._timer is None:
            self._timer = threading.Timer(_IDLE, self._let_go)
            self._timer.daemon = True
            self._timer.start()

    def _let_go(self) -> None:
        with self._lock:
            if self._timer is threading.current_thread() and self._held == 0:
                self._drop()

    def _drop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._desk is not None:
            self._desk.close()
            self._desk = None


def open_desk(settings: Settings, by: str) -> OpenDesk:
    """A desk for `by`: through the app that has the database open, else on the file itself.

    Raises:
        DatabaseLocked: another process keeps the file open and is no app of this version.
        DatabaseBroken: the file is no review database.
    """
    return OpenDesk(settings, by)


def digest_of(settings: Settings) -> str:
    """Tells one configuration from another."""
    return hashlib.sha256(settings.config.model_dump_json().encode()).hexdigest()[:16]


def run(workspace: Workspace, name: str, call: Call) -> Answer:
    """Run an operation by its name.

    Raises:
        NotFound: there is no such operation.
    """
    if name not in OPERATIONS:
        raise NotFound(f"There is no operation {name[:60]!r}.")
    module, _, function = OPERATIONS[name].partition(":")
    return cast(Operation, getattr(importlib.import_module(module), function))(workspace, call)

"""Imports through a desk: the command checks the file, and the desk takes it in whole or not at all.

The command reads, checks and prepares the file in its own process and keeps the result in a nameless temporary file.
Then it hands it in, batch after batch, into one transaction that stays open at the desk: reviewers' writing does not
wait for it, and a command that goes away leaves nothing.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import pyarrow

from review.adapters.files import Kind, Progress
from review.errors import BadInput, Conflict, Rejected
from review.services import ingest, strip
from review.services.desk import Answer, Call, Desk
from review.services.ingest import Batch, Imported, Options, Taken
from review.services.workspace import Workspace
from review.store import staging
from review.store.database import Transaction, scratch

pa: Any = pyarrow  # it carries no types
# Bytes that are handed in at a time: some tens of milliseconds of the app's time.
_PIECE = 4 << 20
_IN_MEMORY = 16 << 20
# Seconds without a word after which an upload is abandoned, and how many there are at a time.
_PATIENCE = 120.0
_AT_ONCE = 8
_ATTEMPTS = 3


def import_file(
    desk: Desk,
    kind: Kind,
    path: Path,
    *,
    options: Options,
    progress: Progress | None = None,
    source: str | None = None,
) -> Imported:
    """Import a file: every line checked, the whole file written or nothing of it. `source` instead of the file's name.

    Raises:
        RejectedRecords: the file has bad lines and `skip_invalid` is off; nothing of it was written.
        BadInput: the file is missing or not what its suffix says.
        Conflict: again and again others stored the same facts meanwhile, or the desk went away.
    """

    # What waits in the temporary file is stripped already.
    intake = strip.intake_at(desk, kind)

    def write(batches: Iterator[Batch]) -> Imported:
        with (
            ingest.stripping(intake, batches) as stripped,
            closing(_Spool(stripped, kind)) as spool,
            desk.held(),
        ):
            for _ in range(_ATTEMPTS):
                try:
                    with _uploading(desk, kind, source or path.name) as take_in:
                        return ingest.gather(spool.read(), take_in, path.name, options)
                except _Gone:
                    continue
        raise Conflict(f"{path.name} could not be stored at one go; others stored the same facts meanwhile. Try again.")

    with closing(scratch()) as cursor:
        return ingest.read_twice(cursor, desk.key, kind, path, options, progress, write)


class _Spool:
    """Checked batches, kept outside of memory until all are there."""

    def __init__(self, batches: Iterator[Batch], kind: Kind) -> None:
        schema = staging.schema(kind)
        self._file = cast(IO[bytes], tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 (closed by `close`)
        self._pieces: list[tuple[int, Batch]] = []
        try:
            with pa.ipc.new_stream(self._file, schema) as writer:
                for batch in batches:
                    pieces = list(_cut(batch.staged))
                    for piece in pieces:
                        writer.write_batch(piece)
                    self._pieces.append((len(pieces), batch._replace(staged=None)))
        except BaseException:
            self._file.close()
            raise
        self._empty = schema.empty_table()

    def read(self) -> Iterator[Batch]:
        """The batches again, each cut into pieces small enough to be handed in; may be called again."""
        self._file.seek(0)
        reader = pa.ipc.open_stream(self._file)
        for count, batch in self._pieces:
            nothing = Batch(0, self._empty, [], batch.lines_are_exact)
            yield batch._replace(staged=self._empty)
            for _ in range(count):
                yield nothing._replace(staged=pa.Table.from_batches([reader.read_next_batch()]))

    def close(self) -> None:
        self._file.close()


def _cut(table: Any) -> Iterator[Any]:
    """Record batches of a handy size; none of an empty table."""
    rows = max(1, int(len(table) * _PIECE / max(1, table.nbytes)))
    return iter(table.combine_chunks().to_batches(max_chunksize=rows)) if len(table) else iter(())


class _Gone(Exception):
    """The upload does not stand any more, and nothing of it was written."""


@contextmanager
def _uploading(desk: Desk, kind: Kind, source: str) -> Generator[Callable[[Any], Taken]]:
    """Takes batches into an upload; ends it on leaving, and leaves nothing after an error."""
    upload = desk.ask("import.begin", {"kind": kind, "source": source}).document["upload"]
    number = 0

    def take_in(staged: Any) -> Taken:
        nonlocal number
        if not len(staged):
            return Taken(0, 0, [])
        number += 1
        answer = desk.ask("import.put", {"upload": upload, "number": number}, staged).document
        if answer["gone"]:
            raise _Gone
        return Taken(answer["new"], answer["present"], [Rejected(*each) for each in answer["bad"]])

    done = False
    try:
        yield take_in
        done = True
    finally:
        ended = desk.ask("import.end", {"upload": upload, "commit": done}).document
        if done and ended["gone"]:
            raise _Gone


@dataclass
class _Upload:
    """An import in progress, at the desk."""

    workspace: Workspace
    kind: Kind
    source: str
    now: datetime
    transaction: Transaction
    number: int = 0
    answer: dict[str, Any] = field(default_factory=dict[str, Any])
    timer: threading.Timer | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


_UPLOADS: dict[str, _Upload] = {}
_LOCK = threading.Lock()


def begin(workspace: Workspace, call: Call) -> Answer:
    """Operation import.begin: {kind, source} gives {upload}, the name of a new import."""
    kind, source = call.arguments.get("kind"), call.arguments.get("source")
    if kind not in staging.TABLES or not isinstance(source, str):
        raise BadInput(f"An import needs a kind ({', '.join(staging.TABLES)}) and the source's name.")
    name = secrets.token_hex(16)
    with _LOCK:
        if len(_UPLOADS) >= _AT_ONCE:
            raise Conflict(f"{_AT_ONCE} imports are in progress already. Wait until one is done.")
        made = _Upload(workspace, kind, source[:255], call.now, workspace.database.begin())
        _UPLOADS[name] = made
    _watch(name, made)
    return Answer({"upload": name})


def put(_workspace: Workspace, call: Call) -> Answer:
    """Operation import.put: {upload, number} and rows to be staged give {gone, new, present, bad}.

    The same number again gives the same answer and does nothing.
    """
    name, number = str(call.arguments.get("upload")), call.arguments.get("number")
    upload = _UPLOADS.get(name)
    if upload is None or not isinstance(number, int):
        return Answer({"gone": True})
    with upload.lock:
        if number == upload.number:
            return Answer(upload.answer)
        if name not in _UPLOADS or number != upload.number + 1:
            return Answer({"gone": True})
        if call.table is None or call.table.schema != staging.schema(upload.kind):
            raise BadInput(f"Rows of {upload.kind} need the columns {', '.join(staging.schema(upload.kind).names)}.")
        try:
            taken = ingest.take(upload.transaction.cursor, upload.kind, call.table, upload.source, upload.now)
        except BaseException:
            _abandon(name)
            raise
        bad = [[each.line, each.field, each.reason] for each in taken.bad]
        upload.number = number
        upload.answer = {"gone": False, "new": taken.new, "present": taken.present, "bad": bad}
        _watch(name, upload)
        return Answer(upload.answer)


def end(_workspace: Workspace, call: Call) -> Answer:
    """Operation import.end: {upload, commit} gives {gone}: whether nothing of it stands."""
    name = str(call.arguments.get("upload"))
    if call.arguments.get("commit") is not True:
        _abandon(name)
        return Answer({"gone": True})
    upload = _forget(name)
    return Answer({"gone": upload is None or not upload.transaction.commit()})


def _watch(name: str, upload: _Upload) -> None:
    """Abandon an upload that nobody goes on with."""
    if upload.timer is not None:
        upload.timer.cancel()
    upload.timer = threading.Timer(_PATIENCE, _abandon, [name])
    upload.timer.daemon = True
    upload.timer.start()


def _forget(name: str) -> _Upload | None:
    with _LOCK:
        upload = _UPLOADS.pop(name, None)
    if upload is not None and upload.timer is not None:
        upload.timer.cancel()
    return upload


def _abandon(name: str) -> None:
    if (upload := _forget(name)) is not None:
        with upload.lock:
            upload.transaction.rollback()

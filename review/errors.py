"""Every error that a user can meet, as one tree.

    ReviewError                 one line on the terminal, a red box on a page; never a traceback
    ├── BadSettings             a setting or the configuration file is wrong: key, value, what is legal
    ├── BadInput                a record, an argument or a request is wrong: place, value, remedy
    │   ├── RejectedRecords     an import file has bad lines; nothing of it was written
    │   └── NotComparable       two outputs differ in what makes their values comparable; names every difference
    ├── NotFound                the named round, pair, entry or file does not exist
    ├── NotAllowed              this person may not do or see this now (a role, or blindness)
    ├── Conflict                the fact contradicts one that is stored already
    ├── DatabaseLocked          another process holds the database file; says which
    ├── DatabaseBroken          the file is not one of ours, or from a later version
    ├── ModelFailed             a model server gave no answer to one request; `kind` says how
    │   └── EndpointUnusable    nor will it to any other: the key, the model, the address or the quota is wrong
    ├── HarnessFailed           lm-evaluation-harness ended without results; names its log
    ├── BudgetSpent             the next request could cost more than is left
    ├── StripFailed             personal data could not be stripped, so nothing was stored
    └── ChainBroken             the adversarial set does not verify; names the first entry

A message says what failed, the value seen, what is accepted and what to do next. It never carries a trace's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ReviewError(Exception):
    """Something a person can understand and mend. `str(error)` is one line without a trace's text."""


class BadSettings(ReviewError):
    """A setting, or a key of the configuration file, is wrong."""


class BadInput(ReviewError):
    """A record, an argument or a request does not have the documented form."""


@dataclass(frozen=True)
class Rejected:
    """One rejected line of a file: 1-based `line`, dotted `field` ("" for the whole line), `reason` for people."""

    line: int
    field: str
    reason: str


class RejectedRecords(BadInput):
    """An import file has bad lines and nothing of it was written.

    Attributes:
        file: the file's name as the caller gave it.
        rejected: every rejected line, in file order.
        read: how many lines were read.
    """

    def __init__(self, file: str, rejected: Sequence[Rejected], read: int = 0) -> None:
        self.file = file
        self.read = read
        self.rejected = tuple(rejected)
        count = len(self.rejected)
        super().__init__(f"{file}: {count} bad line{'s' if count != 1 else ''}, nothing was written")


@dataclass(frozen=True)
class Difference:
    """What two outputs of a benchmark differ in: the task, the field, and its value on both sides; never a text."""

    task: str
    field: str
    old: str
    new: str


class NotComparable(BadInput):
    """Two outputs of a benchmark differ in something that makes their values incomparable.

    Attributes:
        differences: what they differ in.
    """

    def __init__(self, message: str, differences: Sequence[Difference]) -> None:
        self.differences = tuple(differences)
        super().__init__(message)


class NotFound(ReviewError):
    """The named thing does not exist."""


class NotAllowed(ReviewError):
    """This person may not do or see this now."""


class Conflict(ReviewError):
    """The fact contradicts one that is stored already."""


class DatabaseLocked(ReviewError):
    """Another process holds the database file."""


class DatabaseBroken(ReviewError):
    """The file is not a review database, or was written by a later version."""


class ChainBroken(ReviewError):
    """The adversarial set's hash chain, mirror or count does not fit."""


class ModelFailed(ReviewError):
    """A model server gave no answer to one request, after all attempts.

    Attributes:
        kind: timeout, rate_limited, server_error, connection, bad_body, refused, context_length, bad_request,
            unsupported; of an unusable endpoint auth, bad_model, quota.
        attempts: requests sent.
    """

    def __init__(self, message: str, kind: str, attempts: int) -> None:
        self.kind = kind
        self.attempts = attempts
        super().__init__(message)


class EndpointUnusable(ModelFailed):
    """The endpoint will answer no request: its key, model, address or quota is wrong."""


class HarnessFailed(ReviewError):
    """lm-evaluation-harness ended without results."""


class BudgetSpent(ReviewError):
    """The next request could cost more than is left."""


class StripFailed(ReviewError):
    """Personal data could not be stripped, so nothing was stored."""

"""Takes traces, pairs and flags from other systems: each record checked by itself, stripped, and stored once."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field, StringConstraints, ValidationError

from review.adapters import files
from review.adapters.files import Row
from review.domain import identity
from review.domain.complaint import explain
from review.domain.failure import Report
from review.domain.trace import Trace
from review.domain.types import Identifier, Pair, Record, Side
from review.errors import BadInput, Conflict, NotFound, Rejected
from review.services import flag, ingest, strip, trace_import
from review.services.desk import LocalDesk
from review.services.workspace import Workspace

Kind = Literal["traces", "pairs", "flags"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_RECORDS = 5000
_Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Flag(Record):
    """A failure to report to the permanent adversarial set.

    `failed` is the side whose answer failed, `category` the id of a failure category of the configuration, `expected`
    what should have happened. `report_id` makes it idempotent; without one it is derived from all that is said.
    """

    report_id: Identifier | None = None
    pair_id: Identifier
    failed: Side
    category: Identifier
    expected: str = Field(default="", max_length=flag.MAX_TEXT)
    comment: str | None = Field(default=None, max_length=flag.MAX_TEXT)
    ticket: str | None = Field(default=None, max_length=flag.MAX_TICKET)
    reported_by: _Name = "api"


MODELS: dict[Kind, type[Record]] = {"traces": Trace, "pairs": Pair, "flags": Flag}


@dataclass
class Received:
    """What became of the records: `read` = `new` + `present` + rejected ones. A record's place counts from 1.

    Attributes:
        entries: of flags, the entry of the adversarial set that each record (by its place) made or joined.
    """

    read: int = 0
    new: int = 0
    present: int = 0
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    entries: dict[int, str] = field(default_factory=dict[int, str])

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        rejected = [{"record": each.line, "field": each.field, "reason": each.reason} for each in self.rejected]
        document = {"read": self.read, "new": self.new, "present": self.present, "rejected": rejected}
        entries = [{"record": place, "entry_id": entry_id} for place, entry_id in sorted(self.entries.items())]
        return document | ({"entries": entries} if entries else {})


def parse(body: bytes, *, lines: bool) -> list[Row]:
    """The records of a body: one JSON a line, or one JSON object or a list of them.

    Raises:
        BadInput: it is not JSON, or has too many records.
    """
    if not lines:
        try:
            document = json.loads(body)
            records = cast("list[Any]", document) if isinstance(document, list) else [document]
            # Read as lines are, so that both ways refuse the same.
            body = b"".join(json.dumps(each).encode() + b"\n" for each in records)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"The body is not JSON ({type(error).__name__}).") from error
    body = body if body.endswith(b"\n") else body + b"\n"
    if (count := body.count(b"\n")) > MOST_RECORDS:
        raise BadInput(f"{count:,} records are too many; send at most {MOST_RECORDS:,} at a time.")
    return list(files.to_lines(1, body).rows(()))


def receive(workspace: Workspace, kind: Kind, rows: Sequence[Row], source: str, now: datetime) -> Received:
    """Store the good ones among the records. Sending them again changes nothing.

    Args:
        workspace: where to.
        kind: of the records.
        rows: the records, by their place.
        source: the system they come from.
        now: when.
    """
    if kind == "traces":
        done = trace_import.take_in(LocalDesk(workspace, source), source, iter(rows))
        return Received(done.read, done.new, done.present, done.rejected)
    return _pairs(workspace, rows, source, now) if kind == "pairs" else _flags(workspace, rows, now)


def _pairs(workspace: Workspace, rows: Sequence[Row], source: str, now: datetime) -> Received:
    batch = ingest.check_rows(workspace.key, "pairs", rows, {})
    staged, present, intake = batch.staged, 0, strip.intake_at(LocalDesk(workspace, source), "pairs")
    if intake is not None:
        staged, present = intake.strip(staged)
    with workspace.database.transaction() as cursor:
        taken = ingest.take(cursor, "pairs", staged, source, now)
    if intake is not None:
        intake.remember()
    rejected = sorted([*batch.rejected, *taken.bad], key=lambda each: each.line)
    return Received(batch.read, taken.new, present + taken.present, rejected)


def _flags(workspace: Workspace, rows: Sequence[Row], now: datetime) -> Received:
    done = Received(read=len(rows))
    for row in rows:
        found = _flag(workspace, row)
        if isinstance(found, Rejected):
            done.rejected.append(found)
            continue
        report, by = found
        try:
            reported = flag.report(workspace, report, by, now)
        except (BadInput, NotFound, Conflict) as error:
            done.rejected.append(Rejected(row.line, "", str(error)))
            continue
        done.entries[row.line] = reported.entry_id
        done.new += reported.new
        done.present += not reported.new
    return done


def _flag(workspace: Workspace, row: Row) -> tuple[Report, str] | Rejected:
    if row.document is None:
        return Rejected(row.line, "", row.reason)
    try:
        found = Flag.model_validate(row.document)
    except ValidationError as error:
        return Rejected(row.line, *explain(error.errors(include_url=False), row.document, Flag))
    said = found.model_dump(exclude={"report_id", "reported_by"})
    digest = hmac.new(workspace.key, identity.canonical(found.model_dump()).encode("utf-8", "replace"), hashlib.sha256)
    report_id = found.report_id or f"report-{digest.hexdigest()[:32]}"
    return Report(report_id=report_id, source="api", **said), found.reported_by


def openapi(prefix: str, version: str) -> dict[str, Any]:
    """The API for other systems as OpenAPI 3.1, made from the types of the records."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind, model in MODELS.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
        paths[f"{prefix}/{kind}"] = {"post": _post(kind, model.__name__)}
    schemas["Received"] = _RECEIVED
    schemas["Error"] = _ERROR
    schemas["Refused"] = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Received", "Error")]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Parity review", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _post(kind: Kind, model: str) -> dict[str, Any]:
    one = {"$ref": f"#/components/schemas/{model}"}
    many = {"type": "array", "items": one, "maxItems": MOST_RECORDS}

    def answer(description: str, schema: str) -> dict[str, Any]:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return {"description": description, "content": content}

    return {
        "operationId": f"post_{kind}",
        "summary": f"Take in {kind}; sending them again changes nothing.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [one, many]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": f"One {model} a line."}},
            },
        },
        "responses": {
            "200": answer("What became of the records; the good ones are stored.", "Received"),
            "401": answer("The bearer token is missing or wrong.", "Error"),
            "413": answer("The body is too large.", "Error"),
            "415": answer("The content type is not accepted.", "Error"),
            "422": answer("The body is not JSON, has too many records, or every record was rejected.", "Refused"),
        },
    }


_PLACE = {"type": "integer", "minimum": 1}
_COUNT = {"type": "integer", "minimum": 0}
_REJECTED = {
    "type": "object",
    "required": ["record", "field", "reason"],
    "properties": {
        "record": {"type": "integer", "minimum": 1},
        "field": {"type": "string"},
        "reason": {"type": "string"},
    },
}
_RECEIVED = {
    "type": "object",
    "required": ["read", "new", "present", "rejected"],
    "properties": {
        **dict.fromkeys(("read", "new", "present"), _COUNT),
        "rejected": {"type": "array", "items": _REJECTED},
        "entries": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["record", "entry_id"],
                "properties": {"record": _PLACE, "entry_id": {"type": "string"}},
            },
        },
    },
}
_ERROR = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
}

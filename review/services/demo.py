"""The demo: build its database out of data/demo, and clear away a database that the demo built.

Everything goes through the services that people use: files are imported, rounds drawn, pairs leased, labels submitted,
failures flagged, a contract signed, a run recorded and gated. Only the opinions of the three simulated reviewers come
from a file; their names, the round's name, the signature and each label's `simulated` say so.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from review.domain.card import Answers, Card, to_answers
from review.domain.failure import Report
from review.domain.types import Identifier, Json, Label, Record, Side
from review.errors import Conflict
from review.services import contracts, flag, gate, ingest, label, rounds, run_record, runs
from review.services.demo_documents import read_documents, write_document
from review.services.desk import Call, LocalDesk
from review.services.rounds import DrawSpec
from review.services.workspace import Workspace, open_workspace
from review.settings import ROOT, Settings
from review.store import meta
from review.store.runs import RunRow

FOLDER = ROOT / "data" / "demo"
FINISHED = "Week 1 – finished (simulated reviewers)"
OPEN = "Week 2 – open, for you"
REVIEWERS = ("sim-ana", "sim-ben", "sim-chloe")
SIGNED_BY = "sim-dana (simulated)"
RUN = "new-quantization"

_ACTOR = "demo"
_BUILT_BY, _BUILT_AT = "built_by", "demo_built_at"
# The seed was chosen among the first sixty so that one small round shows everything: flags and a confirmed one, skips,
# corrections, people at odds, and errors that hide in a judged tie.
_FINISHED_SPEC = DrawSpec(size=40, seed=6, overlap=3, repeat=0.05, name=FINISHED)
_OPEN_SPEC = DrawSpec(size=40, seed=7, overlap=1, repeat=0.05, name=OPEN)
_STACKS = (["name=old", "model=aspen-32b-chat-2025-11"], ["name=new", "model=aspen-32b-chat-2026-08-w4"])
_AHEAD = 8
_BETWEEN_PAIRS = timedelta(seconds=3)


@dataclass(frozen=True)
class DemoSummary:
    """What the demo database holds.

    Attributes:
        built: this call built it; False when it stood already.
        finished_round: id of the round that the simulated reviewers labelled.
        open_round: id of the round for the visitor.
        labels: rows of the simulated reviewers, skips and corrections among them; 0 when nothing was built.
        flagged: entries in the adversarial set.
    """

    built: bool
    finished_round: str
    open_round: str
    labels: int
    flagged: int


class _Flag(Record):
    """A failure that a simulated reviewer flags, and who confirms it."""

    side: Side
    category: Identifier
    expected: str
    confirmed_by: Identifier | None = None


class Opinion(Label):
    """What one simulated reviewer says about one pair; `label` leaves the other three out.

    Attributes:
        first: what differed in a first label that the reviewer then corrected.
        again: what differs when the pair comes back unannounced.
        flag: the failure that the reviewer puts into the adversarial set.
    """

    first: dict[str, Json] | None = None
    again: dict[str, Json] | None = None
    flag: _Flag | None = None

    def label(self, changes: Mapping[str, Json] | None = None) -> Label:
        """The label itself, with `changes`."""
        plain = self.model_dump(exclude={"first", "again", "flag"}, exclude_none=True)
        return Label.model_validate(plain | dict(changes or {}))


def read_opinions(path: Path = FOLDER / "simulated.jsonl") -> dict[tuple[str, str], Opinion]:
    """The simulated reviewers' opinions by (reviewer, pair id)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    opinions = [Opinion.model_validate_json(line) for line in lines]
    return {(opinion.reviewer, opinion.pair_id): opinion for opinion in opinions}


def whole_pairs(folder: Path = FOLDER) -> Iterator[str]:
    """The lines of pairs.jsonl, each `{{long:NAME}}` in a message replaced by the long document NAME."""
    texts = {
        f"{{{{long:{name}}}}}": write_document(document)
        for name, document in read_documents(folder / "long_contexts.json").items()
    }
    for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for message in record["messages"]:
            for mark, text in texts.items():
                if mark in (message["content"] or ""):
                    message["content"] = message["content"].replace(mark, text)
        yield json.dumps(record, ensure_ascii=False)


def is_demo(workspace: Workspace) -> bool:
    """Whether the demo built this database."""
    return meta.read(workspace.database, _BUILT_BY) == _ACTOR


def build(workspace: Workspace, now: datetime) -> DemoSummary:
    """Build the demo in an empty database; a built one is left as it is, an interrupted build is completed.

    Raises:
        Conflict: the database holds data that the demo did not put there.
    """
    database = workspace.database
    if not is_demo(workspace):
        if rounds.sources(workspace):
            raise Conflict(
                f"{database.path} holds pairs that are not the demo's, so the demo was not built into it. "
                "Name another file: review demo --db FILE."
            )
        meta.write(database, _BUILT_BY, _ACTOR)
    done = meta.read(database, _BUILT_AT) is not None
    # What the demo says was made up for it, so nothing of it is stripped.
    workspace = replace(workspace, settings=workspace.settings.unstripped())
    labels = 0
    if not done:
        week_ago = now - timedelta(days=8)
        _import(workspace, week_ago)
        finished = _round(workspace, _FINISHED_SPEC, week_ago)
        run = _begin(workspace, week_ago)
        labels = _label_finished(workspace, finished, week_ago)
        run_record.record(LocalDesk(workspace, _ACTOR), run.run_id, sources=["pairs.jsonl"])
        # The open round comes first: its labels are still to come, and the gate spends its looks accordingly.
        _round(workspace, _OPEN_SPEC, now)
        gate.gate(workspace, run, None, SIGNED_BY, now)
        meta.write(database, _BUILT_AT, now.isoformat())
    # By mark, not by name: a lead may have drawn rounds of the same name since.
    drawn = {each.name: each.round_id for each in rounds.list_rounds(workspace) if each.drawn_by == _ACTOR}
    return DemoSummary(not done, drawn[FINISHED], drawn[OPEN], labels, len(flag.entries(workspace)))


def reset(settings: Settings, built_by: str = _ACTOR) -> None:
    """Delete a database that a demo built, with its key, cache and mirror. Without a file there is nothing to do.

    Raises:
        Conflict: the demo did not build this database.
        DatabaseLocked: a process, probably the running app, has it open.
    """
    if not settings.db.exists():
        return
    workspace = open_workspace(settings)
    try:
        if meta.read(workspace.database, _BUILT_BY) != built_by:
            raise Conflict(
                f"{settings.db} was not built by the demo and may hold people's work, so it was not deleted. "
                "Name the demo's file with --db, or move this one away."
            )
        mirror = flag.verify(workspace).mirror
    finally:
        workspace.close()
    # A mirror that belongs to another database stays. The key goes last: a new database may take over an old key,
    # but a database without its key cannot be opened, and this could not be repeated after an interruption.
    ours = [settings.mirror] if mirror is not None and mirror.state != "foreign" else []
    logs = [
        each.with_name(each.name + end)
        for each, ends in ((settings.db, (".wal",)), (settings.cache_file, ("-wal", "-shm")))
        for end in ends
    ]
    for path in [*ours, *logs, settings.cache_file, settings.db, settings.key_file]:
        path.unlink(missing_ok=True)


def _import(workspace: Workspace, now: datetime) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.jsonl"
        pairs.write_text("\n".join(whole_pairs()) + "\n", encoding="utf-8")
        ingest.import_pairs(workspace, [pairs], now=now)
    ingest.import_verdicts(workspace, [FOLDER / "verdicts.jsonl"], now=now)


def _begin(workspace: Workspace, now: datetime) -> RunRow:
    """Sign the configured contract and begin the run, before anybody has labelled."""
    terms = contracts.configured(workspace.settings.config).model_dump(mode="json")
    contracts.sign(workspace, Call({"terms": terms, "name": SIGNED_BY}, None, _ACTOR, now))
    spec = runs.described_by(*_STACKS, RUN, "quantization", runs.config_hash(workspace.settings))
    return runs.start(workspace, spec, _ACTOR, now)


def _round(workspace: Workspace, spec: DrawSpec, now: datetime) -> str:
    """The id of the demo's round of this name; drawn unless an interrupted build has drawn it."""
    for each in rounds.list_rounds(workspace):
        if each.name == spec.name:
            return each.round_id
    return rounds.draw(workspace, spec, _ACTOR, now).round_id


def _label_finished(workspace: Workspace, round_id: str, since: datetime) -> int:
    """Let each simulated reviewer label the round on a day of their own. Returns the rows stored."""
    opinions = read_opinions()
    stored = 0
    for day, reviewer in enumerate(REVIEWERS, 1):
        moment = since + timedelta(days=day, minutes=17 * day)
        while cards := label.queue(workspace, reviewer, round_id, _AHEAD, moment):
            answers: list[Answers] = []
            label.shown(workspace, reviewer, cards[0].card_id, moment)
            for card in cards:
                opinion = opinions[reviewer, card.pair_id]
                moment += timedelta(seconds=opinion.seconds or 0)
                answers += _answers(opinion, card, moment)
                if opinion.flag and card.occurrence == 0:
                    _flag(workspace, round_id, opinion, opinion.flag, moment)
                moment += _BETWEEN_PAIRS
            # As the browser's outbox does when the connection was away for a few pairs.
            stored += len(label.submit(workspace, reviewer, answers, moment, simulated=True))
    # Where somebody skipped, a place stays empty that no fourth person will fill.
    if rounds.progress(workspace, round_id).state == "open":
        rounds.end(workspace, round_id, _ACTOR, since + timedelta(days=len(REVIEWERS) + 1))
    return stored


def _answers(opinion: Opinion, card: Card, moment: datetime) -> list[Answers]:
    """What the reviewer sends for a card: one answer, or a first one and its correction."""
    final = opinion.label(opinion.again if card.occurrence else None)
    versions = [final] if card.occurrence or not opinion.first else [opinion.label(opinion.first), final]
    sent: list[Answers] = []
    for version in versions:
        known = {
            "label_id": _id(card.card_id, str(len(sent))),
            "supersedes": sent[-1].label_id if sent else None,
            "labelled_at": moment + timedelta(seconds=len(sent)),
        }
        sent.append(to_answers(version.model_copy(update=known), card))
    return sent


def _flag(workspace: Workspace, round_id: str, opinion: Opinion, failure: _Flag, moment: datetime) -> None:
    """Report the failure, and confirm it where the file says by whom."""
    report = Report(
        report_id=_id(round_id, opinion.pair_id, opinion.reviewer),
        pair_id=opinion.pair_id,
        failed=failure.side,
        category=failure.category,
        expected=failure.expected,
        comment="Flagged by a simulated reviewer.",
        source="label",
        round_id=round_id,
    )
    entry = flag.report(workspace, report, opinion.reviewer, moment).entry_id
    if failure.confirmed_by:
        flag.confirm(workspace, entry, failure.confirmed_by, moment + timedelta(hours=3))


def _id(*parts: str) -> str:
    """An id that an interrupted build makes again, so that a row that is there already is recognised."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

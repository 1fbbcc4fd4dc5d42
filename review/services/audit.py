"""The weekly audit: people read random logged answers, one at a time; error rates by week come of it."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from review.domain.failure import Report
from review.domain.single import SingleAnswers, SingleCard
from review.domain.trace import Trace
from review.errors import BadInput, NotFound
from review.services import flag
from review.services.flag import Reported
from review.services.label import Receipt
from review.services.workspace import Workspace
from review.stats.estimate import Result
from review.stats.intervals import wilson
from review.store import audits as store
from review.store import samples, watch, watch_single
from review.store.audits import LabelRow
from review.store.samples import SampleRow

WRONG = ("cautious", "confident", "other")


@dataclass(frozen=True)
class Audit:
    """One audit: the random traces of one sample.

    Attributes:
        wanted: answers to read.
        done: of them, those with a label.
        unreadable: traces of the audit without a logged answer.
        alert: number of the alert that it was drawn for: its traces are of one task, and no random part of the traffic.
    """

    sample_id: str
    number: int
    since: datetime
    until: datetime
    frame: int
    synthetic: bool
    wanted: int
    done: int
    unreadable: int
    alert: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far an audit is: answers read, by this reviewer and by all, and how many there are."""

    mine: int
    skipped: int
    done: int
    total: int
    median_seconds: float | None


@dataclass(frozen=True)
class Week:
    """What an audit found; rates are of the window's traffic, with intervals.

    Attributes:
        read: answers with a label that could tell.
        unclear: answers whose label could not tell, or was a skip.
        rates: share with any error ("error"), and by direction ("cautious", "confident", "other").
    """

    audit: Audit
    read: int
    unclear: int
    rates: dict[str, Result]


def audits(workspace: Workspace) -> list[Audit]:
    """All audits that have something to read, newest first."""
    cursor = workspace.database.cursor()
    told = {(each.sample_id, each.trace_id) for each in store.labels(cursor) if each.kind == "label"}
    found: list[Audit] = []
    for row in samples.read_all(cursor):
        traces = store.traces_of(cursor, row.sample_id)
        if traces:
            done = sum((row.sample_id, each) in told for each in traces)
            found.append(_audit(row, len(traces), done, store.without_answer(cursor, row.sample_id)))
    return found


def without_answers(workspace: Workspace) -> bool:
    """Whether an audit is drawn whose traces carry no logged answer."""
    cursor = workspace.database.cursor()
    return any(store.without_answer(cursor, row.sample_id) for row in samples.read_all(cursor))


def _audit(row: SampleRow, wanted: int, done: int, unreadable: int) -> Audit:
    synthetic = bool(row.spec.get("synthetic"))
    return Audit(
        row.sample_id,
        row.number,
        row.window_from,
        row.window_to,
        row.frame,
        synthetic,
        wanted,
        done,
        unreadable,
        row.spec.get("alert"),
    )


def draw_for_alert(workspace: Workspace, alert_id: str, size: int, by: str, now: datetime) -> str:
    """Draw an audit of single answers that an alert is about, for people to say whether it is right; twice is once.

    They are random ones of its task from the change until it was raised. They count in no rate of the weekly audit.

    Args:
        workspace: where.
        alert_id: the alert's.
        size: answers to read, at most.
        by: who draws.
        now: when.

    Returns:
        The audit's sample_id.

    Raises:
        NotFound: there is no such alert.
        BadInput: it is about no single answer.
    """
    cursor = workspace.database.cursor()
    alert = next((each for each in watch.alerts(cursor) if each["alert_id"] == alert_id), None)
    if alert is None:
        raise NotFound(f"There is no alert {alert_id[:60]!r}. See them with: review watch alerts")
    traces = watch_single.of_alert(cursor, alert_id)[1]
    if not traces:
        raise BadInput("This alert is about pairs: draw a round from them.")
    sample_id = f"audit-{alert_id}"
    seed = int.from_bytes(hashlib.sha256(f"{alert_id}".encode()).digest()[:4], "big")
    drawn = random.Random(seed).sample(traces, min(size, len(traces)))  # noqa: S311 (a sample, no secret)
    clusters = store.clusters_of(cursor, drawn)
    pi = len(drawn) / len(traces)
    with workspace.database.transaction() as writing:
        if samples.read(writing, sample_id) is None:
            chosen = [(each, clusters.get(each) or samples.UNCLUSTERED, pi) for each in drawn]
            samples.keep(writing, sample_id, "audit", chosen)
            row = SampleRow(
                sample_id=sample_id,
                number=samples.next_number(writing),
                seed=seed,
                spec={"alert": alert["number"], "synthetic": False},
                window_from=alert["since"],
                window_to=alert["raised_at"],
                frame=len(traces),
                frame_hash=hashlib.sha256("\n".join(traces).encode()).hexdigest(),
                strata=[],
                notes=[],
                drawn_by=by,
                drawn_at=now,
            )
            samples.finish(writing, row)
    return sample_id


def queue(workspace: Workspace, reviewer: str, sample_id: str, want: int) -> list[SingleCard]:
    """The reviewer's next cards: answers that nobody has read and the reviewer has not skipped.

    Two reviewers begin at different places, so that they seldom read the same answer; if they do, the first counts.

    Raises:
        NotFound: there is no such audit.
    """
    cursor = workspace.database.cursor()
    traces = _traces(workspace, sample_id)
    rows = store.labels(cursor, sample_id)
    closed = {each.trace_id for each in rows if each.kind == "label" or each.reviewer == reviewer}
    start = int.from_bytes(hashlib.sha256(f"{reviewer}\0{sample_id}".encode()).digest()[:4], "big") % len(traces)
    waiting = [each for each in traces[start:] + traces[:start] if each not in closed][:want]
    texts = store.read_traces(cursor, waiting)
    return [
        SingleCard(card_id(workspace, sample_id, each), sample_id, each, texts[each])
        for each in waiting
        if each in texts
    ]


def card_id(workspace: Workspace, sample_id: str, trace_id: str) -> str:
    """The name under which a browser knows a trace; tells nothing."""
    said = f"audit\0{sample_id}\0{trace_id}".encode()
    return "audit-" + hmac.new(workspace.key, said, hashlib.sha256).hexdigest()[:32]


def submit(
    workspace: Workspace, reviewer: str, sample_id: str, answers: Sequence[SingleAnswers], now: datetime
) -> list[Receipt]:
    """Store what came from a browser, each once, in order; what cannot be stored is refused with a reason.

    Raises:
        NotFound: there is no such audit.
    """
    by_card = {card_id(workspace, sample_id, each): each for each in _traces(workspace, sample_id)}
    legal = {each.id for each in workspace.settings.config.failure_categories}
    receipts: list[Receipt] = []
    for each in answers:
        with workspace.database.transaction() as cursor:
            holder = store.owner(cursor, each.label_id)
            reason = _refused(cursor, each, reviewer, by_card, legal) if holder is None else None
            if holder is None and reason is None:
                store.insert(cursor, sample_id, by_card[each.card_id], each, reviewer, now)
        if holder is not None:
            same = holder == reviewer
            receipts.append(
                Receipt(each.label_id, "duplicate" if same else "refused", None if same else "it is taken.")
            )
        else:
            receipts.append(Receipt(each.label_id, "refused" if reason else "stored", reason))
    return receipts


def _refused(
    cursor: samples.Cursor, answers: SingleAnswers, reviewer: str, by_card: dict[str, str], legal: set[str]
) -> str | None:
    """Why a label cannot be stored, for people; None when it can."""
    if answers.card_id not in by_card:
        return "its answer belongs to another audit, or is gone."
    given = (answers.error_left, answers.calibration_left, answers.tone)
    if answers.kind == "label" and None in given:
        return "a label says error, confidence and tone."
    if answers.kind == "skip" and (given != (None, None, None) or answers.categories_left):
        return "a skip says nothing about the answer."
    if unknown := sorted(set(answers.categories_left) - legal):
        return f"there is no failure category {unknown[0][:40]!r}."
    if answers.categories_left and answers.error_left not in WRONG:
        return "an answer without an error has no failure category."
    if answers.supersedes is not None:
        if store.owner(cursor, answers.supersedes) != reviewer:
            return "the label that it corrects is not yours, or is not stored."
        if store.superseded(cursor, answers.supersedes):
            return "the label was corrected before, in another tab."
    return None


def last(workspace: Workspace, reviewer: str, sample_id: str) -> tuple[SingleCard, SingleAnswers] | None:
    """The reviewer's latest card and what was said, to reopen it."""
    cursor = workspace.database.cursor()
    mine = [each for each in store.labels(cursor, sample_id) if each.reviewer == reviewer]
    if not mine:
        return None
    trace_id, said = store.read_label(cursor, mine[-1].label_id)
    texts = store.read_traces(cursor, [trace_id])
    if trace_id not in texts:
        return None
    name = card_id(workspace, sample_id, trace_id)
    card = SingleCard(name, sample_id, trace_id, texts[trace_id])
    return card, SingleAnswers.model_validate({**said, "card_id": name})


def progress(workspace: Workspace, reviewer: str, sample_id: str) -> Progress:
    """How far an audit is."""
    cursor = workspace.database.cursor()
    traces = set(_traces(workspace, sample_id))
    rows = [each for each in store.labels(cursor, sample_id) if each.trace_id in traces]
    mine = [each for each in rows if each.reviewer == reviewer]
    seconds = [each.seconds for each in mine if each.kind == "label" and each.seconds is not None]
    return Progress(
        mine=sum(each.kind == "label" for each in mine),
        skipped=sum(each.kind == "skip" for each in mine),
        done=len({each.trace_id for each in rows if each.kind == "label"}),
        total=len(traces),
        median_seconds=median(seconds) if seconds else None,
    )


def report(
    workspace: Workspace,
    reviewer: str,
    sample_id: str,
    card: str,
    report_id: str,
    category: str,
    expected: str,
    now: datetime,
) -> Reported:
    """Put a logged answer into the permanent adversarial set, as a failure of the stack that gave it.

    That is the old one, unless the trace is live traffic that new served.

    Raises:
        NotFound: the card is of no answer of this audit.
        BadInput: a field is not legal.
    """
    by_card = {card_id(workspace, sample_id, each): each for each in _traces(workspace, sample_id)}
    if card not in by_card:
        raise NotFound("The flagged answer belongs to another audit, or is gone.")
    if not category:
        raise BadInput("A flag names a failure category.")
    failed = store.served(workspace.database.cursor(), by_card[card], workspace.settings.config.watch.served)
    failure = Report(
        report_id=report_id, pair_id=by_card[card], failed=failed, category=category, expected=expected, source="label"
    )
    return flag.report(workspace, failure, reviewer, now)


def texts(workspace: Workspace, trace_ids: Sequence[str]) -> dict[str, Trace]:
    """The named traces that are still there."""
    return store.read_traces(workspace.database.cursor(), trace_ids)


def weeks(workspace: Workspace, level: float = 0.95) -> list[Week]:
    """What each audit with labels found, oldest first. The first label of an answer counts; Wilson intervals."""
    rows = store.labels(workspace.database.cursor())
    found: list[Week] = []
    for each in reversed(audits(workspace)):
        if each.alert is not None:
            continue
        first: dict[str, LabelRow] = {}
        for row in rows:
            if row.sample_id == each.sample_id and row.kind == "label":
                first.setdefault(row.trace_id, row)
        if not first:
            continue
        clear = [row.error for row in first.values() if row.error not in (None, "cannot_tell")]
        counts = {name: clear.count(name) for name in WRONG}
        rates = {
            "error": wilson(sum(counts.values()), len(clear), level),
            **{name: wilson(count, len(clear), level) for name, count in counts.items()},
        }
        found.append(Week(each, len(clear), len(first) - len(clear), rates))
    return found


def _traces(workspace: Workspace, sample_id: str) -> list[str]:
    traces = store.traces_of(workspace.database.cursor(), sample_id)
    if not traces:
        raise NotFound(f"There is no audit {sample_id[:60]!r}. Draw one: review sample")
    return traces

"""Whether a confidence means what it says, old against new: from plain files, or from pairs and people's labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from review.adapters import files
from review.errors import BadInput, NotFound
from review.services.workspace import Workspace
from review.stats import calibration as stats
from review.stats.calibration import Corp, CurvePoint, Ece, MeanChange, Murphy, Threshold
from review.stats.consensus import UNRESOLVED, final_answers
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, clustered_mean
from review.store import agreement as agreement_store
from review.store import calibration as store
from review.store.calibration import QUESTIONS, ConfidenceRows

SIDES = ("old", "new")
LEVEL = 0.95
SEED = 2021  # of the band: the same answers always get the same one

CORRECTNESS_OF_FILES = "Correctness is what the files say."
CORRECTNESS_OF_PAIRS = (
    "An answer is correct as the pair's own “correct” says; where it says nothing, as people's final answer says "
    "(adjudicated, else the majority): error “none” is correct, “can't tell” and pairs without a majority are left out."
)
UNWEIGHTED = "Nothing is weighted: the numbers are about these answers, not about all traffic."


@dataclass(frozen=True)
class SystemCalibration:
    """One system: how often it is right, how sure it says it is, and how far the two agree.

    Attributes:
        n: Answers with a confidence and a known correctness.
        prompts: Distinct prompts among them.
        accuracy: Share correct.
        confidence: Mean confidence.
        ece: The expected calibration error with its bin rule.
        brier: The Brier score.
        murphy: Its parts on the same bins.
        corp: Its parts by isotonic regression.
        curve: The reliability curve with its band.
    """

    n: int
    prompts: int
    accuracy: Result
    confidence: Result
    ece: Ece | NotEstimable
    brier: Result
    murphy: Murphy | NotEstimable
    corp: Corp | NotEstimable
    curve: tuple[CurvePoint, ...]

    def to_json(self) -> dict[str, object]:
        """The system as plain JSON values."""
        return {
            "n": self.n,
            "prompts": self.prompts,
            "accuracy": self.accuracy.to_json(),
            "confidence": self.confidence.to_json(),
            "ece": self.ece.to_json(),
            "brier": self.brier.to_json(),
            "murphy": self.murphy.to_json(),
            "corp": self.corp.to_json(),
            "curve": [each.to_json() for each in self.curve],
        }


@dataclass(frozen=True)
class CertaintyShift:
    """How people find the certainty of the wording: under, right or over, old against new.

    Attributes:
        answers: The three answers, in the order of `counts`.
        counts: Pairs, rows old, columns new.
        n: Pairs with a final answer on both sides.
        net: (over - under on new) - (over - under on old), as a share of pairs; positive is towards too sure.
        excluded: Labelled pairs left out, by reason.
    """

    answers: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    n: int
    net: MeanChange | NotEstimable
    excluded: Mapping[str, int]

    def totals(self) -> dict[str, dict[str, int]]:
        """How often each answer was given, by side."""
        old = [sum(row) for row in self.counts]
        new = [sum(column) for column in zip(*self.counts, strict=True)]
        return {side: dict(zip(self.answers, each, strict=True)) for side, each in (("old", old), ("new", new))}

    def to_json(self) -> dict[str, object]:
        """The shift as plain JSON values."""
        return {
            "order": list(self.answers),
            "rows": "old",
            "counts": [list(row) for row in self.counts],
            "n": self.n,
            "net": self.net.to_json(),
            "excluded": dict(self.excluded),
        }


@dataclass(frozen=True)
class CalibrationReport:
    """Everything that `review calibration` and the page show.

    Attributes:
        systems: By side; a side without confidences is absent.
        brier_difference: New minus old over the same answers; None when there is one system.
        accuracy_difference: The same for the share correct.
        thresholds: Coverage and error for each threshold.
        exclusions: What was left out and how often, by reason.
        sources: Where correctness came from, and how often.
        shift: People's under / right / over; None for plain files.
        in_words: The rules as sentences for people.
    """

    systems: Mapping[str, SystemCalibration]
    brier_difference: MeanChange | NotEstimable | None
    accuracy_difference: MeanChange | NotEstimable | None
    thresholds: tuple[Threshold, ...]
    exclusions: Mapping[str, int]
    sources: Mapping[str, int] = field(default_factory=dict[str, int])
    shift: CertaintyShift | None = None
    in_words: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The report as plain JSON values."""
        difference: dict[str, object] = {}
        if self.brier_difference is not None and self.accuracy_difference is not None:
            difference = {
                "difference": {
                    "brier": self.brier_difference.to_json(),
                    "accuracy": self.accuracy_difference.to_json(),
                }
            }
        shift = {} if self.shift is None else {"shift": self.shift.to_json()}
        return {
            "rules": {
                "bins": stats.BIN_RULE,
                "band": stats.BAND_RULE,
                "level": LEVEL,
                "in_words": list(self.in_words),
            },
            **{side: system.to_json() for side, system in self.systems.items()},
            **difference,
            "thresholds": [each.to_json() for each in self.thresholds],
            "exclusions": dict(self.exclusions),
            "sources": dict(self.sources),
            **shift,
        }


def calibration_of_files(old: Path, new: Path | None = None) -> CalibrationReport:
    """Calibration of one system, or of two on the same answers, from plain files.

    A record has `id` (text or whole number, once a file), `confidence` (0 to 1), `correct` (true/false or 1/0) and
    perhaps `prompt_id`, the statistical cluster; without it each id is its own prompt. Other fields are not used, and
    named. With two files only ids that both have count; the others are counted as exclusions.

    Args:
        old: A JSONL, CSV or Parquet file.
        new: Another one, of the new system.

    Raises:
        BadInput: A file is missing or has bad lines, or the two have no id in common.
    """
    first = _read(old)
    if new is None:
        ids = sorted(first.rows)
        second, exclusions = None, dict[str, int]()
    else:
        second = _read(new)
        ids = sorted(first.rows.keys() & second.rows.keys())
        if not ids:
            raise BadInput(
                f"{old} and {new} have no id in common ({len(first.rows):,} and {len(second.rows):,} ids). "
                "Give the same answer the same id in both files."
            )
        exclusions = {"only_in_old": len(first.rows) - len(ids), "only_in_new": len(second.rows) - len(ids)}
    read = [each for each in (first, second) if each is not None]
    by_prompt = any(each.has_prompts for each in read)
    systems = {side: each.arrays(ids) for side, each in zip(SIDES, read, strict=False)}
    words = [
        CORRECTNESS_OF_FILES,
        "Intervals are clustered by prompt_id." if by_prompt else "Each id is its own prompt.",
        f"ECE: {stats.BIN_RULE}.",
    ]
    if unused := sorted({name for each in read for name in each.ignored}):
        words.append(f"Fields that were not used: {', '.join(unused)}.")
    return _report(
        systems,
        _prompts(ids, read, (old, new)),
        exclusions,
        in_words=tuple(words),
    )


def calibration_of(
    workspace: Workspace, round_id: str | None = None, sources: tuple[str, ...] | None = None
) -> CalibrationReport:
    """Calibration of old and new on the stored pairs, and people's under / right / over on all labelled ones.

    Where both sides have confidences, both are measured on the pairs where both have one and both are known to be
    right or wrong; else the one side that has them is measured alone.

    Args:
        workspace: The open workspace.
        round_id: Only this round's pairs and labels; all of them by default.
        sources: Only pairs from these, as services.runs.traffic_sources says of a run.

    Raises:
        NotFound: There is no such round.
    """
    cursor = workspace.database.cursor()
    if round_id is not None and round_id not in agreement_store.round_names(cursor):
        raise NotFound(f"There is no round {round_id!r}. See them with: review rounds")
    rows = store.confidence_rows(cursor, round_id, sources)
    known = {side: _correctness(rows, side) for side in SIDES}
    exclusions: dict[str, int] = {}
    usable: dict[str, Bools] = {}
    for side in SIDES:
        stated = rows.confidence[side] >= 0
        if not stated.any():
            continue
        usable[side] = stated & (known[side].correct >= 0)
        exclusions |= {f"{reason}_{side}": int((stated & where).sum()) for reason, where in known[side].unknown.items()}
    if len(usable) == 2:
        both = usable["old"] & usable["new"]
        exclusions |= {f"only_usable_on_{side}": int((usable[side] & ~both).sum()) for side in SIDES}
        usable = dict.fromkeys(SIDES, both)
    inside = next(iter(usable.values()), np.zeros(len(rows.prompt), dtype=np.bool_))
    given = sum(int((inside & (rows.correct[side] >= 0)).sum()) for side in usable)
    labelled = sum(int((inside & (rows.correct[side] < 0)).sum()) for side in usable)
    return _report(
        {side: (rows.confidence[side][inside], known[side].correct[inside].astype(np.float64)) for side in usable},
        rows.prompt[inside],
        exclusions,
        sources={"given": given, "labels": labelled},
        shift=_shift(rows),
        in_words=(CORRECTNESS_OF_PAIRS, UNWEIGHTED, f"ECE: {stats.BIN_RULE}."),
    )


@dataclass(frozen=True)
class Changes:
    """New minus old of single pairs, for a claim that a margin holds.

    Attributes:
        brier: Difference of the squared errors of the two confidences, shape (n,); empty where a side has none.
        brier_prompts: The prompt of each, shape (n,).
        certainty: Steps of the wording towards too sure by people's final answers, -2 to 2, shape (m,).
        certainty_prompts: The prompt of each, shape (m,).
    """

    brier: Floats
    brier_prompts: Ints
    certainty: Floats
    certainty_prompts: Ints


def changes_of(workspace: Workspace, sources: tuple[str, ...] | None = None) -> Changes:
    """What calibration_of compares, pair by pair, on pairs from some sources."""
    rows = store.confidence_rows(workspace.database.cursor(), None, sources)
    known = {side: _correctness(rows, side).correct for side in SIDES}
    stated = np.logical_and.reduce([(rows.confidence[side] >= 0) & (known[side] >= 0) for side in SIDES])
    errors = {side: (rows.confidence[side] - known[side])[stated] ** 2 for side in SIDES}
    (old, said_old), (new, said_new) = (_final(rows, f"calibration_{side}") for side in SIDES)
    both = said_old & said_new & (old != UNRESOLVED) & (new != UNRESOLVED)
    return Changes(
        brier=errors["new"] - errors["old"],
        brier_prompts=rows.prompt[stated],
        certainty=(new - old)[both].astype(np.float64),
        certainty_prompts=rows.prompt[both],
    )


def _report(
    systems: Mapping[str, tuple[Floats, Floats]],
    prompts: Ints,
    exclusions: Mapping[str, int],
    *,
    in_words: tuple[str, ...],
    sources: Mapping[str, int] | None = None,
    shift: CertaintyShift | None = None,
) -> CalibrationReport:
    """Every number from the arrays of one or two systems over the same rows."""
    old, new = systems.get("old"), systems.get("new")
    brier = accuracy = None
    if old is not None and new is not None:
        brier = stats.brier_difference(old, new, prompts, LEVEL)
        accuracy = stats.mean_difference(new[1] - old[1], prompts, LEVEL)
    return CalibrationReport(
        systems={side: _system(*arrays, prompts) for side, arrays in systems.items()},
        brier_difference=brier,
        accuracy_difference=accuracy,
        thresholds=stats.thresholds(old, new, prompts, level=LEVEL) if len(prompts) else (),
        exclusions=exclusions,
        sources=sources or {},
        shift=shift,
        in_words=in_words,
    )


def _system(confidence: Floats, correct: Floats, prompts: Ints) -> SystemCalibration:
    return SystemCalibration(
        n=len(confidence),
        prompts=int(np.count_nonzero(np.bincount(prompts))),
        accuracy=clustered_mean(correct, prompts, LEVEL),
        confidence=clustered_mean(confidence, prompts, LEVEL),
        ece=stats.expected_calibration_error(confidence, correct),
        brier=stats.brier(confidence, correct, prompts, LEVEL),
        murphy=stats.murphy(confidence, correct),
        corp=stats.corp(confidence, correct),
        curve=stats.reliability_curve(confidence, correct, prompts, np.random.default_rng(SEED), level=LEVEL),
    )


@dataclass(frozen=True)
class _Known:
    """Per pair 1 correct, 0 wrong, -1 unknown; and where it is unknown, why."""

    correct: Ints
    unknown: dict[str, Bools]


def _correctness(rows: ConfidenceRows, side: str) -> _Known:
    """Whether a side's answers are correct: as given with the pair, else by people's final answer."""
    name = f"error_{side}"
    final, labelled = _final(rows, name)
    answers = QUESTIONS[name]
    given, unclear = rows.correct[side], final == answers.index("cannot_tell")
    judged = np.where((final == UNRESOLVED) | unclear, -1, final == answers.index("none"))
    open_ = given < 0
    return _Known(
        correct=np.where(open_, judged, given).astype(np.int64),
        unknown={
            "not_labelled": open_ & ~labelled,
            "people_unresolved": open_ & labelled & (final == UNRESOLVED),
            "people_cannot_tell": open_ & unclear,
        },
    )


def _final(rows: ConfidenceRows, name: str) -> tuple[Ints, Bools]:
    """People's final answer to a question per pair (UNRESOLVED where there is none), and whether anybody answered."""
    size, pairs, answer = len(QUESTIONS[name]), len(rows.prompt), rows.answers[name]
    person, ruled = (~rows.adjudication & (answer >= 0)), (rows.adjudication & (answer >= 0))
    cells = rows.label_pair[person] * size + answer[person]
    votes = np.bincount(cells, minlength=pairs * size).reshape(pairs, size).astype(np.int64)
    adjudicated = np.full(pairs, UNRESOLVED, dtype=np.int64)
    adjudicated[rows.label_pair[ruled]] = answer[ruled]
    if not pairs:
        return adjudicated, np.zeros(0, dtype=np.bool_)
    return final_answers(votes, adjudicated), (votes.sum(axis=1) > 0) | (adjudicated != UNRESOLVED)


def _shift(rows: ConfidenceRows) -> CertaintyShift:
    """People's under / right / over, old against new, on the pairs where both have a final answer."""
    names = QUESTIONS["calibration_old"]
    (old, said_old), (new, said_new) = (_final(rows, f"calibration_{side}") for side in SIDES)
    both = said_old & said_new
    inside = both & (old != UNRESOLVED) & (new != UNRESOLVED)
    size = len(names)
    counts = np.bincount(old[inside] * size + new[inside], minlength=size * size).reshape(size, size)
    # The codes run under, right, over, so a difference of codes is the step towards too sure.
    return CertaintyShift(
        answers=names,
        counts=tuple(tuple(int(cell) for cell in row) for row in counts),
        n=int(inside.sum()),
        net=stats.mean_difference((new - old)[inside].astype(np.float64), rows.prompt[inside], LEVEL),
        excluded={
            "only_one_side_answered": int(((said_old | said_new) & ~both).sum()),
            "people_unresolved": int((both & ~inside).sum()),
        },
    )


class _Answer(NamedTuple):
    """One record of a plain file."""

    line: int
    confidence: float
    correct: float
    prompt: str | None


@dataclass(frozen=True)
class _File:
    """A plain file's records by id, and the names of the fields in it that are not used."""

    rows: Mapping[str, _Answer]
    ignored: frozenset[str]

    @property
    def has_prompts(self) -> bool:
        return any(row.prompt is not None for row in self.rows.values())

    def arrays(self, ids: list[str]) -> tuple[Floats, Floats]:
        """Confidence and correctness in the order of `ids`."""
        picked = [self.rows[each] for each in ids]
        return np.array([row.confidence for row in picked]), np.array([row.correct for row in picked])


_FIELDS = ("id", "confidence", "correct")
_USED = frozenset({*_FIELDS, "prompt_id"})


def _read(path: Path) -> _File:
    """The records of a plain file.

    Raises:
        BadInput: The file is missing or empty, or some of its lines are bad; names the first and counts the rest.
    """
    rows: dict[str, _Answer] = {}
    ignored: set[str] = set()
    problems: list[str] = []
    for line, document, reason in files.read(path):
        if document is None:
            problems.append(f"line {line}: {reason}")
            continue
        try:
            name, answer = _parsed(line, document)
            if name in rows:
                raise BadInput(f'"id" stands on line {rows[name].line} already. An id names one answer; remove one.')
        except BadInput as error:
            problems.append(f"line {line}: {error}")
            continue
        rows[name] = answer
        ignored |= document.keys() - _USED
    if problems:
        rest = f" {len(problems) - 1:,} more bad lines follow." if len(problems) > 1 else ""
        raise BadInput(f"{path} {problems[0]}{rest}")
    if not rows:
        raise BadInput(f"{path}: holds no records. One record has id, confidence (0 to 1) and correct (true or false).")
    return _File(rows, frozenset(_printable(each) for each in ignored))


def _parsed(line: int, document: files.Document) -> tuple[str, _Answer]:
    """One record as its id and values.

    Raises:
        BadInput: Names the field, what it is, what it can be and what to do.
    """
    if missing := [name for name in _FIELDS if name not in document]:
        seen = ", ".join(sorted(_printable(each) for each in document)) or "none"
        raise BadInput(f'"{missing[0]}" is missing (fields seen: {seen}). Name the field that holds it so.')
    prompt = document.get("prompt_id")
    answer = _Answer(
        line,
        _confidence(document["confidence"]),
        _correct(document["correct"]),
        None if prompt is None else _name("prompt_id", prompt),
    )
    return _name("id", document["id"]), answer


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:40])


def _name(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and 1 <= len(value) <= 200:
        return value
    raise BadInput(f'"{name}" is {_kind(value)}; it must be a text of 1 to 200 characters or a whole number.')


def _confidence(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and 0 <= value <= 1:
            return float(value)
        raise BadInput(f'"confidence" is {value:.6g}; it must lie in 0 to 1. Divide percentages by 100.')
    raise BadInput(f'"confidence" is {_kind(value)}; it must be a number from 0 to 1, without quotes.')


def _correct(value: Any) -> float:
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return float(value)
    if value in ("0", "1", "0.0", "1.0"):  # as a CSV file has them
        return float(value)
    raise BadInput(f'"correct" is {_kind(value)}; it must be true, false, 1 or 0.')


def _kind(value: Any) -> str:
    """What a value is, without showing any text of it."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value)[:20]
    if isinstance(value, str):
        return "a text" if value else "an empty text"
    return f"a {type(value).__name__}"


def _prompts(ids: list[str], read: list[_File], paths: tuple[Path, Path | None]) -> Ints:
    """The prompt of each id as a code: its prompt_id in either file, else the id itself.

    Raises:
        BadInput: The two files name different prompts for the same id.
    """
    names: list[tuple[bool, str]] = []
    for each in ids:
        rows = [file.rows[each] for file in read]
        given = {row.prompt for row in rows if row.prompt is not None}
        if len(given) > 1:
            raise BadInput(
                f'{paths[1]} line {rows[1].line}: "prompt_id" differs from that of the same id on line {rows[0].line} '
                f"of {paths[0]}. An id belongs to one prompt; correct one of them."
            )
        # A prompt and an id may bear the same name and are still two things.
        names.append((True, given.pop()) if given else (False, each))
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.int64)

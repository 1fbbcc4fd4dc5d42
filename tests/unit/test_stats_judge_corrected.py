"""Labels corrected by verdicts: the oracle, simulated coverage, and what a judge can and cannot bring."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType

import numpy as np
import pytest

from review.stats.corrected import judge_corrected_rate, rogan_gladen
from review.stats.estimate import Estimate, NotEstimable
from review.stats.ppi import JudgeCorrected, ppi_mean, stratified_ppi

REPETITIONS = 1000
PROMPTS, EACH = 200, 3


@pytest.fixture
def ppi_py(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reference implementation; its import silences all warnings, so they are put back."""
    # numba, below it, breaks on importing coverage before 7, and tracing is not what is tested here.
    monkeypatch.setitem(sys.modules, "coverage", None)
    with warnings.catch_warnings():
        return pytest.importorskip("ppi_py", reason="ppi-python, the oracle, is not installed", exc_type=ImportError)


@pytest.mark.parametrize("judge", ["good", "useless", "probability"])
def test_ppi_mean_is_what_ppi_py_gives(ppi_py: ModuleType, judge: str) -> None:
    rng = np.random.default_rng(5)
    truth = (rng.random(500) < 0.4).astype(float)
    verdicts = {
        "good": np.where(rng.random(500) < 0.8, truth, 1 - truth),
        "useless": rng.integers(0, 2, 500).astype(float),
        "probability": 0.3 + 0.4 * truth + 0.2 * rng.random(500),
    }[judge]
    parts = truth[:80], verdicts[:80], verdicts[80:]
    for lam in (1.0, None):
        found = ppi_mean(*parts, lam=lam, level=0.9)
        assert isinstance(found, JudgeCorrected)
        low, high = ppi_py.ppi_mean_ci(*parts, alpha=0.1, lam=found.lam)
        assert (found.estimate.low, found.estimate.high) == pytest.approx((low[0], high[0]), abs=1e-12)
        # Its own lam divides the covariance by n but the variance by n - 1; the golden vector's lam uses n - 1 twice.
        low, high = ppi_py.ppi_mean_ci(*parts, alpha=0.1, lam=lam)
        assert (found.estimate.low, found.estimate.high) == pytest.approx((low[0], high[0]), abs=2e-3)


JUDGES = {
    "perfect": (1.0, 0.0),
    "excellent": (0.98, 0.0),
    "good": (0.85, 0.0),
    "useless": (0.0, 0.0),
    "biased": (0.75, 1.0),
}


def frames(
    rng: np.random.Generator, prompts: int, strata: int, judge: str, rates: tuple[float, float], signed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Prompt, stratum, people's value and verdict of each pair; three pairs a prompt, alike within it."""
    knows, towards = JUDGES[judge]
    clusters = np.repeat(np.arange(prompts), EACH)
    codes = rng.integers(0, strata, prompts * EACH)
    rate = np.linspace(*rates, strata)[codes] * 2 * rng.beta(3, 3, prompts)[clusters]
    side = np.where(rng.random((2, len(codes))) < 0.5, 1, -1) if signed else np.ones((2, len(codes)))
    people = (rng.random(len(codes)) < rate) * side[0]
    guess = np.where(towards, 1.0, (rng.random(len(codes)) < 0.4) * side[1])
    return clusters, codes, people, np.where(rng.random(len(codes)) < knows, people, guess)


def drawn(rng: np.random.Generator, codes: np.ndarray, labels: int, strata: int) -> np.ndarray:
    """Positions of a stratified draw, at least two a stratum."""
    at = [np.flatnonzero(codes == code) for code in range(strata)]
    return np.concatenate(
        [rng.choice(rows, max(2, round(labels * len(rows) / len(codes))), replace=False) for rows in at]
    )


RATE, MANY, SIGNED = (50, 4, (0.2, 0.6), False), (100, 10, (0.05, 0.6), False), (60, 5, (0.05, 0.2), True)
CASES = [
    ("perfect", RATE),
    ("excellent", SIGNED),
    ("good", MANY),
    ("useless", RATE),
    ("useless", MANY),
    ("biased", MANY),
    ("biased", SIGNED),
]


@pytest.mark.parametrize(("judge", "case"), CASES, ids=str)
def test_the_interval_covers_and_a_judge_never_harms(
    judge: str, case: tuple[int, int, tuple[float, float], bool]
) -> None:
    """Upper bound open: where a judge's errors are too rare to be seen the score interval is conservative by nature."""
    labels, strata, rates, signed = case
    rng = np.random.default_rng(17)
    truth = 0.0 if signed else float(np.mean(np.linspace(*rates, strata)))
    bounds = (-1.0, 1.0) if signed else (0.0, 1.0)
    held, error, width = 0, np.zeros((2, REPETITIONS)), np.zeros((2, REPETITIONS))
    for at in range(REPETITIONS):
        clusters, codes, people, verdicts = frames(rng, PROMPTS, strata, judge, rates, signed)
        rows = drawn(rng, codes, labels, strata)
        for which, given in enumerate((verdicts, np.zeros(len(verdicts)))):
            if which and at % 2:
                continue  # labels alone are the yardstick only; half of the repetitions are enough for it
            found = stratified_ppi(
                people[rows], rows, given, clusters, codes, rng=rng, bounds=bounds, sizes=np.ones(strata)
            )
            assert isinstance(found, JudgeCorrected)
            error[which, at] = found.estimate.value - truth
            width[which, at] = found.estimate.high - found.estimate.low
            held += not which and found.estimate.low <= truth <= found.estimate.high
    both = slice(0, REPETITIONS, 2)
    risk = float((error[0, both] ** 2).mean() / (error[1, both] ** 2).mean())
    wider = float(width[0, both].mean() / width[1, both].mean())
    assert held / REPETITIONS >= 0.93
    # Useless judges are within 2 % of labels alone; the rest of the room is simulation noise.
    assert risk <= {"useless": 1.03}.get(judge, 0.97), risk
    assert wider <= 1.01, wider
    if judge in ("perfect", "excellent", "good") and not signed:
        assert risk < 0.6


def one_frame() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    clusters, codes, people, verdicts = frames(rng, 100, 4, "good", (0.2, 0.6), False)
    return clusters, codes, people, verdicts, drawn(rng, codes, 60, 4)


def corrected(known_size: float = 0.0, finite: bool = False, **changed: np.ndarray) -> JudgeCorrected | NotEstimable:
    clusters, codes, people, verdicts, rows = one_frame()
    rows = changed.get("rows", rows)
    return stratified_ppi(
        people[rows],
        rows,
        changed.get("verdicts", verdicts),
        clusters,
        codes,
        rng=np.random.default_rng(0),
        known_size=known_size,
        finite=finite,
    )


def test_known_strata_add_a_constant_and_no_doubt() -> None:
    alone, diluted = corrected(), corrected(known_size=2700.0)
    assert isinstance(alone, JudgeCorrected)
    assert isinstance(diluted, JudgeCorrected)
    for limit in ("value", "low", "high"):
        assert getattr(diluted.estimate, limit) == pytest.approx(getattr(alone.estimate, limit) / 10)


def test_a_frame_labelled_throughout_is_its_mean_and_leaves_only_the_doubt_about_future_traffic() -> None:
    people = one_frame()[2]
    whole, only_here = corrected(rows=np.arange(300)), corrected(rows=np.arange(300), finite=True)
    assert isinstance(whole, JudgeCorrected)
    assert isinstance(only_here, JudgeCorrected)
    assert whole.estimate.value == pytest.approx(float(people.mean()), abs=0.02)
    assert whole.estimate.high - whole.estimate.low > 0.06
    assert only_here.estimate.high - only_here.estimate.low < 0.001


def test_a_judge_that_always_says_the_same_leaves_labels_alone() -> None:
    same, none = corrected(verdicts=np.ones(300)), corrected(verdicts=np.zeros(300))
    assert isinstance(same, JudgeCorrected)
    assert isinstance(none, JudgeCorrected)
    assert same.lam == 0
    assert same.estimate == none.estimate
    assert isinstance(same.correlation, NotEstimable)


def test_missing_verdicts_and_empty_strata_are_said() -> None:
    _, codes, _, verdicts, rows = one_frame()
    without = verdicts.copy()
    without[:7] = np.nan
    assert corrected(verdicts=without) == NotEstimable("the judge has no verdict on 7 of 300 pairs of the frame")
    empty = corrected(rows=rows[codes[rows] != 2])
    assert isinstance(empty, NotEstimable)
    assert "1 of 4 strata" in empty.reason
    assert isinstance(corrected(rows=np.array([], dtype=np.int64)), NotEstimable)
    with pytest.raises(ValueError, match=r"lies in 0\.\.1"):
        corrected(verdicts=verdicts * 2)


@pytest.mark.parametrize(
    ("n", "labels", "rate", "sensitivity", "specificity"),
    [(1000, 100, 0.3, 0.85, 0.8), (1000, 60, 0.5, 0.9, 0.7), (500, 100, 0.15, 0.9, 0.9), (1000, 100, 0.05, 0.9, 0.95)],
)
def test_rogan_gladen_covers_with_accuracy_known_from_few_labels(
    n: int, labels: int, rate: float, sensitivity: float, specificity: float
) -> None:
    rng = np.random.default_rng(3)
    results: list[Estimate] = []
    for _ in range(2000):
        positives = rng.binomial(labels, rate)
        found = judge_corrected_rate(
            rng.binomial(n, rate * sensitivity + (1 - rate) * (1 - specificity)),
            n,
            rng.binomial(positives, sensitivity),
            positives,
            rng.binomial(labels - positives, specificity),
            labels - positives,
        )
        if isinstance(found, Estimate):
            results.append(found)
    assert len(results) > 1900
    assert 0.93 <= float(np.mean([found.low <= rate <= found.high for found in results])) <= 0.97


def test_an_uninformed_judge_cannot_be_corrected_for() -> None:
    assert isinstance(rogan_gladen(0.4, 0.6, 0.4), NotEstimable)
    found = judge_corrected_rate(400, 1000, 12, 20, 11, 20)
    assert isinstance(found, NotEstimable)
    assert "not clearly above 0" in found.reason


def test_a_rate_below_the_judges_false_alarms_is_clipped_and_said() -> None:
    found = judge_corrected_rate(20, 1000, 45, 50, 45, 50)
    assert isinstance(found, Estimate)
    assert found.value == 0
    assert "-0.100 was clipped" in found.method

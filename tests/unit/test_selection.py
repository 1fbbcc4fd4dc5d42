"""What nobody flagged: simulated coverage, what counts as a flag, and the command that says it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review.domain.failure import Provenance
from review.services import flag, loop, missed
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from review.stats.selection import FEWEST_BOTH, population
from review.stats.selection import missed as estimate
from tests.conftest import NOW, ROOT
from tests.replaying import add_sample

TIMES = 250


def draw(rng: np.random.Generator, size: int, failing: float, noticed: float) -> tuple[float, int, Any]:
    """Two weeks of traffic of customers who differ, an audit of each week at its own π: truth, flags, arguments."""
    customers = rng.integers(0, 1500, size)
    own = rng.beta(failing * 30, (1 - failing) * 30, 1500)[customers]
    week = rng.random(size) < 0.3
    wrong = rng.random(size) < np.where(week, own * 1.3, own)
    # The graver failures are noticed more easily: flaggers are not alike, and need not be.
    flagged = wrong & (rng.random(size) < noticed * np.where(rng.random(size) < 0.5, 0.4, 1.6))
    pi = np.where(week, 300 / week.sum(), 300 / (~week).sum())
    read = rng.random(size) < pi
    args = (wrong[read], flagged[read], flagged[read], 1 / pi[read], customers[read], week[read].astype(np.int64))
    return float((wrong & ~flagged).mean()), int(wrong.sum()), (*args, int(flagged.sum()))


@pytest.mark.parametrize(("failing", "noticed"), [(0.05, 0.2), (0.15, 0.5)])
def test_the_interval_covers_what_nobody_flagged(failing: float, noticed: float) -> None:
    rng = np.random.default_rng(5)
    hit = 0
    for _ in range(TIMES):
        truth, _, arguments = draw(rng, 20_000, failing, noticed)
        found = estimate(*arguments).missed
        assert isinstance(found, Estimate)
        hit += found.low <= truth <= found.high
    assert hit / TIMES >= 0.93, hit / TIMES


def test_capture_and_recapture_covers_although_failures_are_not_equally_easy_to_notice() -> None:
    rng = np.random.default_rng(6)
    hit, values = 0, []
    made = 0
    for _ in range(TIMES):
        _, truth, arguments = draw(rng, 20_000, 0.15, 0.5)
        found = estimate(*arguments).population
        if isinstance(found, NotEstimable):
            continue
        made += 1
        hit += found.low <= truth <= found.high
        values.append(found.value / truth)
    assert made > 0.95 * TIMES
    assert hit / made >= 0.93, hit / made
    assert abs(np.mean(values) - 1) < 0.05


def test_a_hand_worked_case() -> None:
    """Two strata, weights 10 and 30; 1 of 4 and 1 of 2 are failures nobody flagged: (10 + 30) / (40 + 60)."""
    wrong = np.array([True, True, False, False, True, False])
    flagged = np.array([False, True, False, False, False, False])
    weights = np.array([10.0, 10, 10, 10, 30, 30])
    strata = np.array([0, 0, 0, 0, 1, 1])
    found = estimate(wrong, flagged, flagged, weights, np.arange(6), strata, 1)
    assert isinstance(found.missed, Estimate)
    assert found.missed.value == pytest.approx(0.4)
    assert isinstance(found.noticed, Estimate)
    assert found.noticed.value == pytest.approx(10 / 50)
    assert isinstance(found.population, NotEstimable)


def test_too_few_in_common_is_said() -> None:
    share = Estimate(0.5, 0.3, 0.7, 0.95, 12, 12, "Wilson")
    assert isinstance(population(40, 12, FEWEST_BOTH - 1, share), NotEstimable)
    found = population(40, 14, 7, share)
    assert isinstance(found, Estimate)
    # Chapman: 41 x 15 / 8 - 1
    assert found.value == pytest.approx(75.875)
    assert (found.low, found.high) == (pytest.approx(40 / 0.7), pytest.approx(40 / 0.3))


def read(workspace: Workspace, trace: str, error: str, *, sample: str = "sample-1") -> None:
    workspace.database.cursor().execute(
        "INSERT INTO trace_label (label_id, sample_id, trace_id, reviewer, kind, error, labelled_at, received_at) "
        "VALUES (?, ?, ?, 'Rob', 'label', ?, ?, ?)",
        [f"{sample}-{trace}", sample, trace, error, NOW, NOW],
    )


def audited(workspace: Workspace) -> None:
    """Six audited traces: 0 to 2 fail, 3 and 4 are right, of 5 nobody can tell; 0 was flagged by support."""
    add_sample(workspace, [f"question {at}" for at in range(8)], pi=0.5)
    cursor = workspace.database.cursor()
    cursor.execute("INSERT INTO sampled SELECT sample_id, trace_id, 'audit', position, stratum, pi FROM sampled")
    for at, error in enumerate(["confident", "other", "cautious", "none", "none", "cannot_tell"]):
        read(workspace, f"trace-{at}", error)
    loop.promote(workspace, "trace-0", "old", "unsafe", Provenance("source", "helpdesk"), "Sue", NOW)
    # The audit's own flag: what it found, not what was noticed.
    flag.report(workspace, flag.Report("r-1", "trace-1", "old", "unsafe", source="label"), "Rob", NOW)
    # A flag of an answer that the audit finds right is no failure that was noticed.
    flag.report(workspace, flag.Report("r-3", "trace-4", "old", "unsafe"), "Sue", NOW)


def test_only_what_others_flagged_counts_as_noticed(workspace: Workspace) -> None:
    assert missed.report(workspace).read == 0
    assert "not known" in missed.report(workspace).line
    audited(workspace)
    found = missed.report(workspace)
    assert (found.audits, found.read, found.unclear, found.wrong, found.flagged) == (1, 5, 1, 3, 1)
    assert isinstance(found.found.missed, Estimate)
    assert found.found.missed.value == pytest.approx(2 / 5)
    assert isinstance(found.found.noticed, Estimate)
    assert found.found.noticed.value == pytest.approx(1 / 3)
    assert isinstance(found.found.population, NotEstimable)
    assert "400.0" in found.line


def test_by_the_command_line(workspace: Workspace) -> None:
    audited(workspace)
    path: Path = workspace.settings.db
    workspace.close()
    line = [sys.executable, "-m", "review.cli", "adversarial", "missed", "--json", "--db", str(path)]
    done = subprocess.run(line, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["missed"]["value"] == pytest.approx(0.4)
    assert document["assumed"].startswith("Failures in all")

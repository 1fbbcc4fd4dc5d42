"""`review pipeline`: cluster, sample, replay, judge and draw in one command."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from review.cli.base import Context, main, verb
from review.cli.replay import duration

if TYPE_CHECKING:
    from review.services.pipeline import Step, Summary

_STAGES = ("cluster", "sample", "replay", "judge", "draw")


@verb(main)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The configuration.  [default: $REVIEW_CONFIG, else data/eval_config.yaml]",
)
@click.option("--size", type=click.IntRange(1), default=80, show_default=True, help="Pairs in the round.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=7, show_default=True, help="Makes it repeatable.")
@click.option("--overlap", type=click.IntRange(1, 20), default=1, show_default=True, help="Different reviewers a pair.")
def pipeline(context: Context, config: Path | None, size: int, seed: int, overlap: int) -> None:
    """Cluster, sample, replay and judge the imported traces, and draw a round of what differs.

    Ended at any moment it goes on when started again; what was answered is never asked, nor paid for, again.
    """
    from review.services import pipeline as service

    if config is not None:
        os.environ["REVIEW_CONFIG"] = str(config.resolve())
    began = time.monotonic()
    with context.desk(asks_models=True) as desk:
        summary = service.pipeline(desk, service.Plan(seed, size, overlap), Teller())
    took = time.monotonic() - began
    context.print(summary.to_json() | {"seconds": round(took, 1)}, [*lines(summary), f"in {duration(took)}"])
    for note in summary.notes:
        click.echo(f"note: {note}", err=True)
    if summary.stopped:
        click.echo(f"error: stopped at {summary.stopped}", err=True)
        sys.exit(1)


class Teller:
    """Says on standard error which stage is at work, and how far: done, rate, cost and time left."""

    def __init__(self) -> None:
        self._screen = sys.stderr.isatty()
        self._at: tuple[str, str] | None = None
        self._began = self._told = 0.0
        self._first = 0

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if (step.stage, step.unit) != self._at:
            self._at, self._began, self._told, self._first = (step.stage, step.unit), now, now, step.done
            return
        last = step.done >= step.total
        if now - self._began < 1 or (now - self._told < (0.5 if self._screen else 10) and not last):
            return
        self._told = now
        rate = (step.done - self._first) / (now - self._began)
        left = f", {duration((step.total - step.done) / rate)} left" if rate and not last else ""
        cost = f", ${step.cost_usd:.4f}" if step.stage in ("replay", "judge") else ""
        number = _STAGES.index(step.stage) + 1
        said = f"{number}/{len(_STAGES)} {step.stage}: {step.done:,} of {step.total:,} {step.unit}, {rate:,.1f}/s{cost}"
        text = said + left
        click.echo(f"\r{text:<100}" + ("\n" if last else "") if self._screen else text, nl=not self._screen, err=True)


def lines(summary: Summary) -> list[str]:
    """A run for people."""
    made, drawn, replayed, judged, found = (
        summary.clustered,
        summary.sampled,
        summary.replayed,
        summary.judged,
        summary.round,
    )
    now = sum(each.answered for each in replayed.sides.values())
    before = "" if drawn.new else ", drawn before"
    shown = [
        f"cluster  {made.traces:,} traces in {made.clusters:,} clusters ({made.placed:,} placed now)",
        f"sample   {drawn.size:,} of {drawn.frame:,} traces, {drawn.audit:,} for the audit{before}",
        f"replay   {replayed.old:,} answers by old, {replayed.new:,} by new ({now:,} now), {replayed.pairs:,} pairs",
    ]
    if waiting := replayed.chosen - replayed.pairs:
        shown.append(f"         {waiting:,} traces lack an answer and are no pair yet; run it again to try them again")
    if judged is not None:
        done = judged.already + judged.judged
        shown.append(
            f"judge    {judged.identical:,} identical, {done:,} judged ({judged.judged:,} now), {judged.left:,} left"
        )
    if found is not None:
        shown.append(f"round    {_round(found)}")
    return [*shown, f"cost     ${summary.cost_usd:.4f}; the cache saved ${summary.saved_usd:.4f}"]


def _round(found: Mapping[str, Any]) -> str:
    if found["round_id"] is None:
        return "none"
    before = "" if found["new"] else ", drawn before"
    return f"{found['round_id']}: {found['size']:,} pairs; {found['counts']['disagreement']:,} disagreements{before}"

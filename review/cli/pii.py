"""`review pii`: how well personal data is found, and what was erased."""

from __future__ import annotations

from pathlib import Path

import click

from review.cli.base import Context, common, main, progress, verb


@main.group()
@common
def pii(db: Path | None, as_json: bool) -> None:
    """Personal data: how well it is found."""
    del db, as_json  # read from the context by each verb


@verb(pii)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--half", type=click.Choice(("even", "odd")), help="Only sentences of even or of odd templates.")
def evaluate(context: Context, file: Path, half: str | None) -> None:
    """Measure recall and precision by kind on marked sentences (JSONL: full_text, spans, template_id)."""
    import time

    from review.services import pii_evaluation
    from review.stats.estimate import NotEstimable, Result

    def shown(result: Result) -> str:
        if isinstance(result, NotEstimable):
            return f"not estimable: {result.reason}"
        return f"{result.value:.3f} ({result.low:.3f} to {result.high:.3f})"

    sentences = pii_evaluation.read(file, half)
    finder = pii_evaluation.stripper()
    with progress("sentences") as tell:
        found = pii_evaluation.evaluate(sentences, finder, time.perf_counter, tell)
    lines = [f"{'kind':10} {'stretches':>9}  fully covered          characters  precision"]
    for each in found.kinds:
        precision = "-" if each.precision is None else f"{each.precision:.3f}"
        lines.append(
            f"{each.kind:10} {each.stretches:9,}  {shown(each.covered)}  {each.characters:10.3f}  {precision:>9}"
        )
    others = ", ".join(f"{kind} {count}" for kind, count in found.passed_over.items())
    rate = found.characters / 1000 / max(found.seconds, 1e-9)
    lines += [
        f"precision of all replaced characters: {shown(found.precision)}",
        f"{found.sentences:,} sentences, {rate:.0f} kB a second in one process",
        *([f"marked, not aimed at by themselves: {others}"] if others else []),
    ]
    context.print(found.to_json(), lines)

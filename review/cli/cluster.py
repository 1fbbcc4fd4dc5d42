"""`review cluster` and `review import suite`: what people ask for, in groups, and which of them are tested."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from review.cli.base import Context, main, progress, verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from review.adapters.embedding import Encoder
    from review.services.cluster import Clustered, Step

_WORDS: dict[Step, str] = {"embedding": "texts embedded", "placing": "traces placed"}


@verb(main)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Makes it repeatable.")
@click.option("--fresh", is_flag=True, help="Make clusters anew. The present ones, their ids and names go out of use.")
def cluster(context: Context, seed: int, fresh: bool) -> None:
    """Group the window's traces by what people want; new traces join the clusters that are there."""
    from review.adapters.cache import Cache
    from review.adapters.embedding import open_encoder
    from review.services import cluster as service

    with context.desk() as desk, closing(Cache(desk.settings.cache_file)) as cache, ExitStack() as bars:
        encoder = open_encoder(desk.settings.config.embedding)
        tell = _bars(bars) if encoder.cost_usd is None else _paid(encoder)
        made = service.cluster(desk, encoder, cache, seed=seed, fresh=fresh, tell=tell)
    context.print({**_document(made), "cost_usd": encoder.cost_usd}, _lines(made, encoder.cost_usd))


def import_suite(context: Context, files: Sequence[str]) -> None:
    """`review import suite`: prompts of an eval suite, placed among the clusters where there are any."""
    from pathlib import Path

    from review.adapters.cache import Cache
    from review.adapters.embedding import open_encoder
    from review.services import cluster as service
    from review.services import suite

    read = new = 0
    with context.desk() as desk, closing(Cache(desk.settings.cache_file)) as cache:
        for file in map(Path, files):
            with progress(f"suite {file.name}") as tell:
                made = suite.import_suite(desk, file, tell)
            read, new = read + made.read, new + made.new
        placed = service.place_inputs(desk, open_encoder(desk.settings.config.embedding), cache)
    lines = [f"suite: {read:,} read, {new:,} new, {read - new:,} present already"]
    if placed is None:
        lines.append("There are no clusters yet; `review cluster` makes them and places the prompts.")
    context.print({"read": read, "new": new, "present": read - new, "placed": placed}, lines)


def _bars(open_bars: ExitStack) -> Callable[[Step, int, int], None]:
    """One progress bar after the other, a step each."""
    bars: dict[str, Callable[[int, int], None]] = {}

    def tell(step: Step, done: int, total: int) -> None:
        if step not in bars:
            open_bars.close()
            bars.clear()
            bars[step] = open_bars.enter_context(progress(step))
        bars[step](done, total)

    return tell


def _paid(encoder: Encoder) -> Callable[[Step, int, int], None]:
    """How far a step is, how fast it goes, what its vectors cost so far: a server makes them."""
    from review.cli.replay import teller
    from review.services.replay import Progress

    tellers = {step: teller(words) for step, words in _WORDS.items()}

    def tell(step: Step, done: int, total: int) -> None:
        if step in tellers:
            tellers[step](Progress(done, total, encoder.cost_usd or 0.0))

    return tell


def _document(made: Clustered) -> dict[str, Any]:
    return {
        "clustering_id": made.run,
        "traces": made.traces,
        "placed": made.placed,
        "embedded": made.embedded,
        "clusters": made.clusters,
        "new_clusters": list(made.made),
        "noise": made.noise,
        "fit_nowhere": made.left,
        "inputs": made.inputs,
    }


def _lines(made: Clustered, cost_usd: float | None) -> list[str]:
    if made.run is None:
        placed = f", {made.inputs:,} inputs placed" if made.inputs else ""
        return [f"Nothing new: {made.traces:,} traces in {made.clusters:,} clusters{placed}."]
    paid = "" if cost_usd is None else f" for ${cost_usd:.4f}"
    lines = [
        f"{made.placed:,} traces placed, {made.embedded:,} texts embedded{paid}; "
        f"{made.clusters:,} clusters, {len(made.made):,} of them new"
    ]
    if made.noise is not None:
        lines.append(f"{100 * made.noise:.1f} % of what was clustered stood apart and was given to the nearest cluster")
    if made.left:
        lines.append(f"{made.left:,} of {made.traces:,} traces fit nowhere")
    return [*lines, *(f"  {name}" for name in made.made)]

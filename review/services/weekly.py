"""`review weekly`: a week's traffic in, sampled, replayed, judged, a round and an audit for people, into the run.

Every step is that verb's own service and does nothing where nothing is left to do: ended at any moment, the command
goes on when it is started again, and a finished week costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from review.errors import BadInput
from review.services import pipeline, run_record, watch
from review.services.desk import Desk


@dataclass
class Weekly:
    """What a week came to.

    Attributes:
        taken: what of the folder's files was new; None where no folder is named.
        pipeline: from clusters to the round, as services.pipeline sums it up.
        recorded: parts of the run that is named, and notes.
    """

    taken: watch.Round | None
    pipeline: pipeline.Summary
    recorded: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def stopped(self) -> str | None:
        """Why it ended before its end; None when it did not."""
        return self.pipeline.stopped

    @property
    def notes(self) -> list[str]:
        """What deviates, for people."""
        return [*(self.taken.notes if self.taken else []), *self.pipeline.notes]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        taken = self.taken
        names = ("files", "read", "new", "rejected")
        return {
            "import": None if taken is None else {name: getattr(taken, name) for name in names},
            **self.pipeline.to_json(),
            "audit": self.pipeline.sampled.audit,
            "recorded": self.recorded,
        }


def weekly(
    desk: Desk,
    plan: pipeline.Plan,
    *,
    folder: Path | None = None,
    run: str | None = None,
    say: Callable[[str], None] = lambda _line: None,
    tell: pipeline.Tell = lambda _step: None,
) -> Weekly:
    """Do what a week needs, or what is left of it. Not inside a running event loop.

    Args:
        desk: where facts are.
        plan: seed and size of the round.
        folder: with the week's files of logged traces; the watched folder (watch.folder) by default.
        run: that the sample's pairs are recorded in: its name, number or id.
        say: told in a line of each file.
        tell: told how far a stage is.

    Raises:
        BadInput: there is no such folder, or there are no traces.
        NotFound: there is no such run.
        BadSettings: the configuration names no endpoints.
    """
    config = desk.settings.config.watch
    if run is not None:
        desk.ask("runs.read", {"run": run})  # before anything is paid for
    taken: watch.Round | None = None
    if folder is not None or config.folder is not None:
        place = folder or Path(str(config.folder)).expanduser()
        if not place.is_dir():
            raise BadInput("The folder of this week's files does not exist. Name it, or correct watch.folder.")
        taken = watch.Round()
        watch.take_in(desk, place, None if folder else config.source, taken, say)
    done = Weekly(taken, pipeline.pipeline(desk, plan, tell))
    if run is not None and done.stopped is None:
        parts = run_record.record(desk, run, sample=done.pipeline.sampled.sample_id)
        done.recorded = [each.to_json() for each in parts]
    return done

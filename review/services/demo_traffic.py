"""The demo's traffic: three made-up weeks, imported and clustered week by week, sampled, tested and watched.

Everything goes through the services that people use, in the order in which a team would use them. Only questions,
answers, prompts of a suite and golden items come from files of data/demo.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from review.domain.live import Live
from review.domain.pipeline import Embedding, Judges
from review.domain.watch import Watch
from review.services import cluster, golden, sample, suite, trace_import, watch
from review.services.demo import FOLDER
from review.services.demo_questions import read_phrasings, write_traces
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec
from review.services.workspace import Workspace
from review.store import meta

GOLDEN_SET = "Demo set (made up)"

_ACTOR = "demo"
_UNTIL, _BUILT_AT = "demo_traffic_until", "demo_traffic_built_at"
_SOURCE = Live("production", "demo")
_LAST_WEEK = timedelta(days=7)
# Few enough to be read in a visit.
_SAMPLE, _AUDIT = 60, 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrafficSummary:
    """What this call built: traces, clusters, golden items and alerts of a regression; None: it stood already."""

    traces: int
    clusters: int
    golden: int
    alerts: int


def is_built(workspace: Workspace) -> bool:
    """Whether the traffic stands whole."""
    return meta.read(workspace.database, _BUILT_AT) is not None


def build(workspace: Workspace, now: datetime, say: Say = lambda _line: None) -> TrafficSummary | None:
    """Build the traffic in a database of the demo; what is built is left alone, an interrupted build is completed.

    Args:
        workspace: of the demo.
        now: when the last week ends; an interrupted build keeps the moment at which it was begun.
        say: told what is done, before it is done.
    """
    database = workspace.database
    if is_built(workspace):
        return None
    until = meta.read(database, _UNTIL)
    if until is None:
        meta.write(database, _UNTIL, until := now.isoformat())
    desk = LocalDesk(_offline(workspace), _ACTOR)
    traces, clusters = _weeks(desk, datetime.fromisoformat(until), say)
    sample.sample(desk, SampleSpec.of(desk.settings.config.replay, 7, size=_SAMPLE, audit_size=_AUDIT))
    items = _tested(LocalDesk(_unstripped(desk.workspace), _ACTOR), say)
    say("The live answers of the new stack are watched …")
    alerts = watch.once(desk).alerts
    meta.write(database, _BUILT_AT, now.isoformat())
    return TrafficSummary(traces, clusters, items, alerts)


def _offline(workspace: Workspace) -> Workspace:
    """With stripping, the embedding that comes along, and nobody to ask: the demo needs no network and pays nobody."""
    config = workspace.settings.config
    changed = {
        "replay": config.replay.model_copy(update={"strip_pii": True}),
        "embedding": Embedding(),
        "judges": Judges(),
        "endpoints": None,
        "watch": Watch(),
    }
    settings = workspace.settings.model_copy(update={"config": config.model_copy(update=changed)})
    return replace(workspace, settings=settings)


def _unstripped(workspace: Workspace) -> Workspace:
    """For what holds no personal data, made up or other."""
    return replace(workspace, settings=workspace.settings.unstripped())


def _weeks(desk: LocalDesk, until: datetime, say: Say) -> tuple[int, int]:
    """Import and cluster the first two weeks, then the last one. Returns traces, and clusters in the end."""
    made = write_traces(read_phrasings(FOLDER / "traffic.json"), until)
    traces = [each.document for each in made]
    last = (until - _LAST_WEEK).isoformat()
    earlier = [each for each in traces if each["happened_at"] < last]
    clusters = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, some in (("demo-weeks-1-and-2", earlier), ("demo-week-3", traces[len(earlier) :])):
            say(f"{len(some)} made-up questions come in; personal data is stripped …")
            _import(desk, Path(folder) / f"{name}.jsonl", some)
            say("They are grouped by what people want …")
            clusters = _cluster(desk)
    return len(traces), clusters


def _import(desk: LocalDesk, file: Path, traces: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in traces), encoding="utf-8")
    (place,) = trace_import.places([str(file)])
    trace_import.import_file(desk, place, trace_import.Options("own", live=_SOURCE, workers=0), _unwatched)


def _unwatched(_phase: str, _records: int, _done: int, _total: int) -> None:
    """Each import is told as a whole."""


def _cluster(desk: LocalDesk) -> int:
    from review.adapters.cache import Cache
    from review.adapters.embedding import open_encoder

    with closing(Cache(desk.settings.cache_file)) as cache:
        return cluster.cluster(desk, open_encoder(desk.settings.config.embedding), cache).clusters


def _tested(desk: LocalDesk, say: Say) -> int:
    """What tests exist: prompts of an eval suite, and the golden set, frozen. Returns the set's items."""
    from review.adapters.cache import Cache
    from review.adapters.embedding import open_encoder

    say("An eval suite and a golden set come in …")
    suite.import_suite(desk, FOLDER / "demo-suite.txt")
    golden.import_file(desk, FOLDER / "golden.jsonl")
    with closing(Cache(desk.settings.cache_file)) as cache:
        cluster.place_inputs(desk, open_encoder(desk.settings.config.embedding), cache)
    return int(desk.ask("golden.freeze", {"name": GOLDEN_SET}).document["items"])

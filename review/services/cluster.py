"""`review cluster`: traces into clusters that keep their ids and names from week to week.

The first run makes clusters. Later ones put new traces into them, and make new clusters only of what fits nowhere.
What takes long is computed here, in the command's own process; facts go through the desk, a batch a call.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow

from review.adapters import clustering
from review.adapters.cache import Cache
from review.adapters.clustering import Labels, Vectors
from review.adapters.embedding import Encoder, embed
from review.domain import naming
from review.domain.identity import canonical
from review.domain.intent import neutral
from review.errors import BadInput, Conflict
from review.services.desk import Desk
from review.services.engine import run_stage

pa: Any = pyarrow  # it carries no types
Step = Literal["reading", "embedding", "placing"]
Tell = Callable[[Step, int, int], None]

NOISE = "noise"
# More traces than this are not clustered themselves: a sample is, and the rest is assigned.
SAMPLE = 20_000
_PAGE = 500
_IDS = 5_000
_EXAMPLES = 5
_SPREAD = 0.02  # of a cluster's traces around its place on the map


@dataclass(frozen=True)
class Clustered:
    """What a run did.

    Attributes:
        run: its id; None when there was nothing to do.
        traces: in the window.
        placed: traces that were given a cluster or found to fit nowhere, now.
        embedded: texts that had to be embedded now; the others were known.
        clusters: current ones, new ones included.
        made: names of the clusters that this run made.
        noise: share of what was clustered that HDBSCAN left out, before it was given to the nearest cluster.
        left: traces of the window that fit nowhere, after this run.
        inputs: prompts of suites and inputs of pairs that were placed.
    """

    run: str | None
    traces: int
    placed: int
    embedded: int
    clusters: int
    made: tuple[str, ...]
    noise: float | None
    left: int
    inputs: int


@dataclass
class _Known:
    """The current clusters, as arrays with one row each."""

    ids: list[str] = field(default_factory=list[str])
    names: list[str] = field(default_factory=list[str])
    centroid: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    place: Vectors = field(default_factory=lambda: np.zeros((0, 2), np.float32))


@dataclass
class _Run:
    """What every step of a run needs, and what it has counted."""

    desk: Desk
    encoder: Encoder
    cache: Cache
    seed: int
    tell: Tell
    id: str
    since: str
    traces: int
    known: _Known
    placed: int = 0
    embedded: int = 0
    clustered: int = 0
    noise: int = 0
    made: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Texts:
    """Traces with a text, and their vectors, one row each."""

    ids: list[str]
    texts: list[str]
    vectors: Vectors


def cluster(
    desk: Desk,
    encoder: Encoder,
    cache: Cache,
    *,
    seed: int = 0,
    fresh: bool = False,
    tell: Tell | None = None,
) -> Clustered:
    """Place the window's traces. Running it again without new traces changes nothing and embeds nothing.

    Args:
        desk: where facts are read and handed in.
        encoder: embeds texts.
        cache: keeps vectors.
        seed: of the sample and the reduction; the same seed and traces give the same clusters.
        fresh: make clusters anew; the earlier ones go out of use.
        tell: called with the step, done and total.

    Raises:
        BadInput: there are no traces.
        Conflict: the clusters live in another model's space.
    """
    config = desk.settings.config
    answer = desk.ask("cluster.state", {"window_days": config.replay.window_days})
    state, known = answer.document, _known(answer.table)
    if not state["traces"]:
        raise BadInput("There are no traces to cluster. Import some: review import traces FILE.")
    if known.ids and state["model"] != encoder.model and not fresh:
        raise Conflict(
            f"The clusters here were made with {state['model']!r}, and eval_config.embedding names {encoder.model!r}. "
            "Name the former again, or make new clusters with review cluster --fresh."
        )
    first = fresh or not known.ids
    settings = {"seed": seed, "fresh": fresh, "min_cluster_size": config.replay.min_cluster_size}
    run = _Run(
        *(desk, encoder, cache, seed, tell or _silent),
        id=state["unfinished"] or _run_id(desk.key, settings, state),
        since=state["window_from"],
        traces=int(state["traces"]),
        known=known,
    )
    if first:
        _make_first(run, fresh=fresh)
        _place_rest(run)
    elif state["unassigned"] or state["unfinished"]:
        _place_rest(run)
        if not state["unfinished_first"]:
            _make_of_misfits(run)
    changed = first or bool(state["unassigned"]) or state["unfinished"] is not None
    inputs = _place_inputs(run)
    if changed:
        desk.ask(
            "cluster.finish",
            {
                "run": run.id,
                "model": encoder.model,
                "settings": settings,
                "traces": run.placed,
                "noise": run.noise,
            },
        )
    after = desk.ask("cluster.state", {"window_days": config.replay.window_days}).document
    return Clustered(
        run.id if changed else None,
        run.traces,
        run.placed,
        run.embedded,
        int(after["clusters"]),
        tuple(run.made),
        run.noise / run.clustered if run.clustered else None,
        int(after["noise"]),
        inputs,
    )


def place_inputs(desk: Desk, encoder: Encoder, cache: Cache) -> int | None:
    """Give prompts of suites and inputs of pairs their clusters; returns how many, None where no clusters are.

    Clusters that live in another model's space count as none.
    """
    answer = desk.ask("cluster.state", {"window_days": desk.settings.config.replay.window_days})
    known, state = _known(answer.table), answer.document
    if not known.ids or state["model"] != encoder.model:
        return None
    run = _Run(
        *(desk, encoder, cache, 0, _silent),
        id="",
        since=state["window_from"],
        traces=int(state["traces"]),
        known=known,
    )
    return _place_inputs(run)


def _silent(_step: Step, _done: int, _total: int) -> None:
    """Tell nobody."""


def _make_first(run: _Run, *, fresh: bool) -> None:
    """Clusters of the window's traces, or of a sample of them."""
    everything = list(_ids(run, everything=True))
    sample = everything
    if len(everything) > SAMPLE:
        sample = sorted(sorted(everything, key=lambda each: _lot(run.seed, each))[:SAMPLE])
    found = _texts_of(run, sample)
    if fresh:
        run.known = _Known()
    _make(run, found, len(found.ids), fresh=fresh)


def _make_of_misfits(run: _Run) -> None:
    """New clusters of the traces that fit nowhere, where enough of them are alike."""
    misfits = list(_ids(run, noise=True))
    if len(misfits) > SAMPLE:
        misfits = sorted(sorted(misfits, key=lambda each: _lot(run.seed, each))[:SAMPLE])
    size = clustering.smallest(run.desk.settings.config.replay.min_cluster_size, min(run.traces, SAMPLE))
    if len(misfits) >= size:
        _make(run, _texts_of(run, misfits), min(run.traces, SAMPLE), fresh=False)


def _make(run: _Run, found: _Texts, n: int, *, fresh: bool) -> None:
    """Cluster texts, name the clusters and hand them in with their members."""
    later = bool(run.known.ids)
    size = clustering.smallest(run.desk.settings.config.replay.min_cluster_size, n)
    # What is left over is alike or not as seen from all traffic, not from among the leftovers.
    centre = run.known.centroid.mean(axis=0) if later else None
    label, noise = _cluster(found, clustering.Settings(size, run.seed, centre))
    if not later:
        run.clustered, run.noise = len(found.ids), int(noise.sum())
    else:
        label = _only_coherent(found.vectors, label, run.known.centroid)
    centroid = clustering.centroids(found.vectors, label) if len(label) else np.zeros((0, 0), np.float32)
    places = (
        clustering.beside(centroid, run.known.centroid, run.known.place)
        if later
        else clustering.layout(centroid, run.seed)
    )
    members = [np.flatnonzero(label == each) for each in range(len(centroid))]
    terms = naming.distinctive([[found.texts[row] for row in rows] for rows in members])
    names = naming.names(terms, run.known.names)
    ids = [f"cluster-{_digest(run.desk.key, [run.id, [found.ids[row] for row in rows]])}" for rows in members]
    new = _Known(ids, names, centroid, places)
    label_all, similarity = _similarities(found.vectors, label, centroid)
    documents = [
        {
            "cluster_id": ids[each],
            "name": names[each],
            "terms": terms[each],
            "examples": _examples(found, members[each], similarity),
            "centroid": centroid[each].tolist(),
            "x": float(places[each, 0]),
            "y": float(places[each, 1]),
        }
        for each in range(len(ids))
    ]
    kept = label_all >= 0
    rows = [place for place, inside in enumerate(kept) if inside]
    table = _assignments([found.ids[row] for row in rows], label_all[kept], similarity[kept], found.vectors[kept], new)
    if documents or fresh:
        arguments = {"run": run.id, "model": run.encoder.model, "fresh": fresh, "clusters": documents}
        run.desk.ask("cluster.save", arguments, table)
        run.placed += len(rows) if not later else 0
        run.made.extend(names)
        run.known = _joined(run.known, new)


def _cluster(found: _Texts, settings: clustering.Settings) -> tuple[Labels, Any]:
    """Label and noise of each text; the same text counts once, with its weight."""
    if not found.ids:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    _, where, back, weight = np.unique(
        np.array(found.texts, dtype=object), return_index=True, return_inverse=True, return_counts=True
    )
    vectors = found.vectors[where]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    batch = pa.table({"vector": flat, "weight": pa.array(weight)})
    (made,) = run_stage(clustering.cluster_stage, [batch], settings, workers=0)
    label = np.asarray(made.column("label").to_numpy(), dtype=np.int64)
    return label[back], np.asarray(made.column("noise").to_numpy())[back]


def _only_coherent(vectors: Vectors, label: Labels, old: Vectors) -> Labels:
    """Without groups of leftovers that hold together less than nearly all clusters do."""
    centroid = clustering.centroids(vectors, label)
    least = float(np.quantile(np.linalg.norm(old, axis=1), 0.1))
    good = np.linalg.norm(centroid, axis=1) >= least
    number = np.where(good, np.cumsum(good) - 1, -1)
    return np.where(label >= 0, number[np.maximum(label, 0)], -1) if len(good) else label


def _place_rest(run: _Run) -> None:
    """Traces without a cluster into the nearest that is near enough, page by page."""
    state = run.desk.ask("cluster.state", {"window_days": run.desk.settings.config.replay.window_days}).document
    after, total = "", run.placed + int(state["unassigned"])
    run.tell("placing", run.placed, total)
    while True:
        page = _page(run, after)
        if not page.num_rows:
            return
        ids, texts = page.column("trace_id").to_pylist(), page.column("text").to_pylist()
        after = ids[-1]
        found = _embedded(run, ids, texts)
        label, similarity = clustering.assign(found.vectors, run.known.centroid)
        empty = [each for each, text in zip(ids, texts, strict=True) if not text]
        table = pa.concat_tables(
            [
                _assignments(found.ids, label, similarity, found.vectors, run.known),
                _assignments(empty, np.full(len(empty), -1), np.zeros(len(empty)), found.vectors[:0], run.known),
            ]
        )
        run.desk.ask("cluster.assign", {"run": run.id}, table)
        run.placed += len(ids)
        run.tell("placing", min(run.placed, total), total)


def _place_inputs(run: _Run) -> int:
    """Prompts of suites and inputs of pairs into clusters; returns how many."""
    count = 0
    while run.known.ids:
        page = run.desk.ask("cluster.inputs", {"limit": _PAGE}).table
        assert page is not None
        if not page.num_rows:
            break
        ids, texts = page.column("input_id").to_pylist(), page.column("text").to_pylist()
        found = _embedded(run, ids, texts)
        label, similarity = clustering.assign(found.vectors, run.known.centroid)
        empty = [each for each, text in zip(ids, texts, strict=True) if not text]
        table = pa.table(
            {
                "input_id": found.ids + empty,
                "cluster_id": [run.known.ids[each] if each >= 0 else NOISE for each in label] + [NOISE] * len(empty),
                "similarity": pa.array([*similarity.tolist(), *[0.0] * len(empty)], pa.float32()),
            }
        )
        run.desk.ask("cluster.assign_inputs", {}, table)
        count += len(ids)
    return count


def _ids(run: _Run, **which: bool) -> Iterator[str]:
    after = ""
    while True:
        asked = {"since": run.since, "after": after, "limit": _IDS, **which}
        table = run.desk.ask("cluster.ids", asked).table
        assert table is not None
        if not table.num_rows:
            return
        page: list[str] = table.column("trace_id").to_pylist()
        yield from page
        after = page[-1]


def _page(run: _Run, after: str) -> Any:
    table = run.desk.ask("cluster.texts", {"since": run.since, "after": after, "limit": _PAGE}).table
    assert table is not None
    return table


def _texts_of(run: _Run, ids: Sequence[str]) -> _Texts:
    """Texts and vectors of these traces; those without a text are left out."""
    traces, texts = list[str](), list[str]()
    for start in range(0, len(ids), _PAGE):
        table = run.desk.ask("cluster.texts", {"ids": list(ids[start : start + _PAGE])}).table
        assert table is not None
        traces += table.column("trace_id").to_pylist()
        texts += table.column("text").to_pylist()
        run.tell("reading", len(traces), len(ids))
    return _embedded(run, traces, texts)


def _embedded(run: _Run, ids: Sequence[str], texts: Sequence[str]) -> _Texts:
    pairs = [(each, text) for each, text in zip(ids, texts, strict=True) if text]
    made = embed(
        run.encoder,
        run.cache,
        run.desk.key,
        [neutral(text) for _, text in pairs],
        [each for each, _ in pairs],
        (lambda done, total: run.tell("embedding", done, total)) if len(pairs) > _PAGE else None,
    )
    run.embedded += made.computed
    vectors = made.vectors
    if not pairs:
        vectors = np.zeros((0, run.known.centroid.shape[1] if run.known.ids else 0), np.float32)
    return _Texts([each for each, _ in pairs], [text for _, text in pairs], vectors)


def _assignments(ids: Sequence[str], label: Any, similarity: Any, vectors: Vectors, known: _Known) -> Any:
    """Rows for the table `assignment`; a trace stands near its cluster's place, the same spot each time."""
    inside = np.asarray(label) >= 0
    place = np.full((len(ids), 2), np.nan, np.float32)
    if len(ids) and inside.any():
        which = np.asarray(label)[inside]
        centre = known.centroid / np.maximum(np.linalg.norm(known.centroid, axis=1, keepdims=True), 1e-12)
        apart = vectors[inside] - centre[which]
        plane = np.random.default_rng(0).standard_normal((apart.shape[1], 2)).astype(np.float32)
        place[inside] = known.place[which] + _SPREAD * (apart @ plane)
    return pa.table(
        {
            "trace_id": pa.array(list(ids), pa.string()),
            "cluster_id": pa.array([known.ids[each] if each >= 0 else NOISE for each in label], pa.string()),
            "similarity": pa.array(np.asarray(similarity, dtype=np.float32)),
            "x": pa.array(place[:, 0], pa.float32(), from_pandas=True),
            "y": pa.array(place[:, 1], pa.float32(), from_pandas=True),
        }
    )


def _similarities(vectors: Vectors, label: Labels, centroid: Vectors) -> tuple[Labels, Any]:
    """The label of each vector, and its cosine to the centre of its cluster."""
    if not len(centroid):
        return np.full(len(vectors), -1, np.int64), np.zeros(len(vectors), np.float32)
    centre = centroid / np.maximum(np.linalg.norm(centroid, axis=1, keepdims=True), 1e-12)
    return label, (vectors * centre[np.maximum(label, 0)]).sum(axis=1).astype(np.float32)


def _examples(found: _Texts, rows: Any, similarity: Any) -> list[str]:
    """The members nearest to the centre, each with a text of its own."""
    chosen, seen = list[str](), set[str]()
    places: list[int] = rows.tolist()
    for row in sorted(places, key=lambda row: (-float(similarity[row]), found.ids[row])):
        if found.texts[row] not in seen:
            seen.add(found.texts[row])
            chosen.append(found.ids[row])
        if len(chosen) == _EXAMPLES:
            break
    return chosen


def _known(table: Any) -> _Known:
    if not table.num_rows:
        return _Known()
    place = np.stack([table.column(axis).to_numpy() for axis in ("x", "y")], axis=1).astype(np.float32)
    return _Known(
        table.column("cluster_id").to_pylist(),
        table.column("name").to_pylist(),
        clustering.matrix(table.column("centroid")),
        place,
    )


def _joined(one: _Known, other: _Known) -> _Known:
    if not one.ids:
        return other
    if not other.ids:
        return one
    return replace(
        one,
        ids=one.ids + other.ids,
        names=one.names + other.names,
        centroid=np.concatenate([one.centroid, other.centroid]),
        place=np.concatenate([one.place, other.place]),
    )


def _lot(seed: int, trace: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{trace}".encode(), digest_size=16).digest()


def _run_id(key: bytes, settings: dict[str, Any], state: dict[str, Any]) -> str:
    return "clustering-" + _digest(key, [settings, state["window_to"], state["traces"], state["runs"]])


def _digest(key: bytes, value: object) -> str:
    return hmac.new(key, canonical(value).encode(), hashlib.sha256).hexdigest()[:16]

"""Groups unit vectors by density: PCA, UMAP, HDBSCAN, like clusters merged; and places vectors among clusters.

Raw embeddings have too many dimensions for density to mean anything, so they are reduced first; see decisions.md.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

_PCA, _DIMENSIONS, _NEIGHBOURS = 64, 10, 15
# Clusters are one when the centres of all their parts, seen from the centre of everything, have this cosine.
_SAME = 0.68
# A vector belongs to a cluster when its cosine to the centre is at least this share of the members' mean cosine.
NEAR = 0.65
# The configured smallest cluster is meant at so many texts; it changes with the root of n.
_FULL = 10_000
_LEAST = 5
# Below so many vectors there is no density to speak of.
_FEWEST = 2 * _LEAST
_BLOCK = 2048
_GAP = 0.18  # from a new place on the map to the nearest old one, where a bubble would cover another


@dataclass(frozen=True)
class Settings:
    """How vectors are grouped.

    Attributes:
        min_cluster_size: texts in the smallest cluster.
        seed: the same seed and vectors give the same clusters.
        centre: of all vectors, where those to be grouped are only some of them; by default their own mean.
    """

    min_cluster_size: int
    seed: int = 0
    centre: Vectors | None = None


@dataclass(frozen=True)
class Clusters:
    """Groups of vectors.

    Attributes:
        label: cluster of each vector, from 0 without gaps; -1 where no cluster is near.
        noise: vectors that HDBSCAN left out, before they were given to the nearest cluster.
        centroid: mean of the members' unit vectors, shape (clusters, dimensions). Its length is the mean cosine of
            members to their centre.
    """

    label: Labels
    noise: int
    centroid: Vectors


def smallest(configured: int, n: int) -> int:
    """Texts in the smallest cluster of n: the configured number at 10,000, by the root of n elsewhere, at least 5."""
    return max(_LEAST, round(configured * float(np.sqrt(n / _FULL))))


def cluster_stage(batch: Any, settings: Settings) -> Any:
    """The stage: an Arrow table with columns `vector` and `weight` gets `label` (-1 for none) and `noise` (bool)."""
    import pyarrow as pa

    vectors = matrix(batch.column("vector"))
    weight = np.asarray(batch.column("weight").to_numpy(), dtype=np.int64)
    found, noise = cluster(vectors, weight, settings)
    arrow: Any = pa
    return batch.append_column("label", arrow.array(found.label)).append_column("noise", arrow.array(noise))


def assign_stage(batch: Any, centroid: Vectors) -> Any:
    """The stage: an Arrow table with the column `vector` gets `label` (-1 for none) and `similarity`."""
    import pyarrow as pa

    label, similarity = assign(matrix(batch.column("vector")), centroid)
    arrow: Any = pa
    return batch.append_column("label", arrow.array(label)).append_column("similarity", arrow.array(similarity))


def matrix(column: Any) -> Vectors:
    """A column of lists of one length as an array of shape (rows, dimensions)."""
    whole: Any = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    flat = np.asarray(whole.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    return flat.reshape(len(whole), -1) if len(whole) else flat.reshape(0, 0)


def cluster(vectors: Vectors, weight: Labels, settings: Settings) -> tuple[Clusters, NDArray[np.bool_]]:
    """Group different texts.

    Args:
        vectors: of length 1, shape (n, dimensions), one for each different text.
        weight: how often each text occurs; one that alone fills the smallest cluster is never noise.
        settings: see Settings.

    Returns:
        The clusters, and which texts HDBSCAN left out.
    """
    if len(vectors) < max(_FEWEST, settings.min_cluster_size):
        nothing = np.full(len(vectors), -1, dtype=np.int64)
        return Clusters(nothing, len(vectors), np.zeros((0, vectors.shape[-1]), np.float32)), nothing < 0
    label = _dense(_reduced(vectors, settings.seed), settings.min_cluster_size)
    noise = label < 0
    often = np.flatnonzero(noise & (weight >= settings.min_cluster_size))
    label[often] = label.max() + 1 + np.arange(len(often))
    noise[often] = False
    label = _merged(vectors, label, vectors.mean(axis=0) if settings.centre is None else settings.centre)
    centroid = centroids(vectors, label)
    near, _ = assign(vectors, centroid)
    label = np.where(label < 0, near, label)
    return Clusters(label, int(weight[noise].sum()), centroids(vectors, label)), noise


def centroids(vectors: Vectors, label: Labels) -> Vectors:
    """The mean vector of each cluster, shape (clusters, dimensions)."""
    count = int(label.max(initial=-1)) + 1
    total = np.zeros((count, vectors.shape[1]), np.float64)
    inside = label >= 0
    np.add.at(total, label[inside], vectors[inside])
    members = np.bincount(label[inside], minlength=count)
    return (total / np.maximum(members, 1)[:, None]).astype(np.float32)


def assign(vectors: Vectors, centroid: Vectors) -> tuple[Labels, NDArray[np.float32]]:
    """The nearest cluster of each vector, -1 where none is near enough, and the cosine to the nearest one's centre."""
    if not len(centroid):
        return np.full(len(vectors), -1, np.int64), np.zeros(len(vectors), np.float32)
    cohesion = np.linalg.norm(centroid, axis=1)
    centre = centroid / np.maximum(cohesion, 1e-12)[:, None]
    cosine = vectors @ centre.T
    nearest = cosine.argmax(axis=1)
    similarity = cosine[np.arange(len(vectors)), nearest]
    # In units of the cluster's own spread, so that a wide cluster does not lose what a tight one would turn away.
    label = np.where(similarity >= NEAR * cohesion[nearest], nearest, -1)
    return label.astype(np.int64), similarity.astype(np.float32)


def layout(centroid: Vectors, seed: int) -> NDArray[np.float32]:
    """Places on a map, in -1..1, like clusters near each other; shape (clusters, 2)."""
    count = len(centroid)
    if count < 3:
        return np.array([[-0.3, 0.0], [0.3, 0.0]], np.float32)[:count]
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    centre = _normal(centroid)
    # On so few points several threads only wait for each other, after UMAP for seconds on a busy machine.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reducer: Any = TSNE(
            perplexity=max(1.0, min(20.0, (count - 1) / 3)), metric="cosine", init="random", random_state=seed
        )
        place = np.asarray(reducer.fit_transform(centre), dtype=np.float32)
    place = place - place.mean(axis=0)
    return np.asarray(place / max(float(np.abs(place).max()), 1e-9), dtype=np.float32)


def beside(new: Vectors, old: Vectors, places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places of new clusters on a map that stands: amid the three old clusters that are most alike."""
    if not len(old):
        return layout(new, 0)
    cosine = _normal(new) @ _normal(old).T
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :3]
    share = np.maximum(np.take_along_axis(cosine, nearest, axis=1), 0.01)
    share = share / share.sum(axis=1, keepdims=True)
    middle = (places[nearest] * share[:, :, None]).sum(axis=1)
    # Two that are new and alike would stand on one spot.
    angle = np.arange(len(new)) * 2.399963
    spots = middle + 0.04 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _clear(spots, places).astype(np.float32)


def _clear(spots: NDArray[Any], places: NDArray[np.float32]) -> NDArray[Any]:
    """Spots that would cover the nearest of the places, moved straight away from it."""
    gap = spots[:, None] - places[None]
    apart = np.linalg.norm(gap, axis=2)
    rows, nearest = np.arange(len(spots)), apart.argmin(axis=1)
    distance, way = apart[rows, nearest][:, None], gap[rows, nearest]
    return np.where(distance < _GAP, places[nearest] + _GAP * way / np.maximum(distance, 1e-9), spots)


def _reduced(vectors: Vectors, seed: int) -> Vectors:
    """PCA, length 1 again, UMAP."""
    from sklearn.decomposition import PCA

    n = len(vectors)
    parts = min(_PCA, n - 1, vectors.shape[1])
    flat = _normal(np.asarray(PCA(parts, svd_solver="covariance_eigh").fit_transform(vectors), dtype=np.float32))
    if n <= 3 * _NEIGHBOURS:
        return flat[:, : max(2, n // 5)]  # too few for a neighbour graph
    neighbours = _nearest(flat, _NEIGHBOURS)
    with _numba(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        reducer: Any = UMAP(
            n_components=_DIMENSIONS,
            n_neighbors=_NEIGHBOURS,
            metric="cosine",
            min_dist=0.0,
            random_state=seed,
            n_jobs=1,
            # Exact neighbours by matrix product: faster than looking for approximate ones, and half the compiling.
            precomputed_knn=(*neighbours, None),
        )
        return np.asarray(reducer.fit_transform(flat), dtype=np.float32)


def _dense(places: Vectors, size: int) -> Labels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hdbscan import HDBSCAN

        found: Any = HDBSCAN(min_cluster_size=size, min_samples=1, core_dist_n_jobs=1)
        return np.asarray(found.fit_predict(places.astype(np.float64)), dtype=np.int64)


def _merged(vectors: Vectors, label: Labels, middle: Vectors) -> Labels:
    """Clusters that are one by complete linkage of their centres, seen from the centre of all vectors.

    Seen from the origin all texts of one trade are alike; from their own centre they point apart.
    """
    from scipy.cluster import hierarchy as _hierarchy
    from scipy.spatial.distance import squareform

    hierarchy: Any = _hierarchy  # it carries no types

    if label.max(initial=-1) < 1:
        return label
    centre = _normal(centroids(_normal(vectors - middle), label)).astype(np.float64)
    apart = np.clip(1 - centre @ centre.T, 0, 2)
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(squareform(apart, checks=False), "complete")
    group = np.asarray(hierarchy.fcluster(tree, 1 - _SAME, "distance"), dtype=np.int64) - 1
    return np.where(label < 0, -1, group[np.maximum(label, 0)])


def _nearest(vectors: Vectors, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k nearest of each by cosine, itself first: places and distances, both of shape (n, k)."""
    places, distances = list[Any](), list[Any]()
    for start in range(0, len(vectors), _BLOCK):
        cosine = vectors[start : start + _BLOCK] @ vectors.T
        rows = np.arange(len(cosine))
        cosine[rows, start + rows] = 2.0
        near = np.argpartition(-cosine, k, axis=1)[:, :k]
        value = np.take_along_axis(cosine, near, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        places.append(np.take_along_axis(near, order, axis=1))
        distances.append(np.clip(1 - np.take_along_axis(value, order, axis=1), 0.0, 2.0))
    return np.concatenate(places).astype(np.int32), np.concatenate(distances).astype(np.float32)


def _normal(vectors: Any) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)


@contextmanager
def _numba() -> Generator[None]:
    """numba imports `coverage` where that is installed, and fails on an old one; then it must not see it."""
    if "numba" in sys.modules or find_spec("coverage") is None or find_spec("coverage.types") is not None:
        yield
        return
    loaded = sys.modules.pop("coverage", None)
    cast("dict[str, Any]", sys.modules)["coverage"] = None
    try:
        importlib.import_module("numba")
    finally:
        del sys.modules["coverage"]
        if loaded is not None:
            sys.modules["coverage"] = loaded
    yield

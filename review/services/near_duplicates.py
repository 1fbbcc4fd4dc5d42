"""Which earlier pair asks and answers nearly the same: the semantic half of the judge's cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from review.domain.identity import canonical
from review.domain.types import Pair

Vectors = NDArray[np.float32]

# A small embedding model reads about so many characters; what lies behind them it would not see.
CHUNK = 800
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Parts:
    """A pair as its cache sees it.

    Attributes:
        shape: Equal for pairs that may be near-duplicates at all: how many pieces prompt, old and new have, and
            everything that must be exactly the same: who speaks in turn, numbers, tools, reference, task.
        texts: The pieces of prompt, old and new, in that order.
    """

    shape: str
    texts: tuple[str, ...]


def parts(pair: Pair) -> Parts:
    """The pieces of a pair whose answers are plain text.

    Numbers must be equal, because an embedding hardly tells "10 dollars" from "100 dollars".
    """
    spoken = [
        message.content if isinstance(message.content, str) else canonical(message.content) for message in pair.messages
    ]
    texts = ["\n".join(spoken), pair.old.content or "", pair.new.content or ""]
    pieces = [[text[at : at + CHUNK] for at in range(0, max(len(text), 1), CHUNK)] for text in texts]
    exact = [
        [len(each) for each in pieces],
        [message.role for message in pair.messages],
        [_NUMBERS.findall(text) for text in texts],
        [pair.tools, pair.reference, pair.task],
    ]
    shape = hashlib.sha256(canonical(exact).encode("utf-8", "surrogatepass")).hexdigest()
    # An empty text has a vector too: that of a word nobody writes alone.
    return Parts(shape, tuple(piece if piece.strip() else "(empty)" for each in pieces for piece in each))


class Originals:
    """Pairs with verdicts of their own, to be found by nearness."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._ids: dict[str, list[str]] = {}
        self._vectors: dict[str, list[Vectors]] = {}

    def add(self, pair_id: str, shape: str, vectors: Vectors) -> None:
        """One more; `vectors` are unit, shape (pieces, dimensions)."""
        self._ids.setdefault(shape, []).append(pair_id)
        self._vectors.setdefault(shape, []).append(vectors)

    def nearest(self, shape: str, vectors: Vectors) -> str | None:
        """The pair whose every piece is at least as near as the threshold, the nearest of them; or None."""
        if shape not in self._ids:
            return None
        # The least near piece decides.
        cosines = np.einsum("npd,pd->np", np.stack(self._vectors[shape]), vectors).min(axis=1)
        best = int(cosines.argmax())
        return self._ids[shape][best] if cosines[best] >= self._threshold else None


def split(vectors: Vectors, counts: Sequence[int]) -> list[Vectors]:
    """Vectors of many pairs, one after the other, back to one array a pair."""
    return list(np.split(vectors, np.cumsum(counts)[:-1]))

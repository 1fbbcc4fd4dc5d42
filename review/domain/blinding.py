"""Which side stands left, which pairs come back, and card ids that tell nothing: all derived from a key and ids."""

from __future__ import annotations

import hashlib
import hmac

from review.domain.card import other
from review.domain.types import Side


def card_id(key: bytes, round_id: str, pair_id: str, reviewer: str, occurrence: int) -> str:
    """An id for one showing, 32 hexadecimal digits; without the key it says nothing about pair, round or side."""
    return _digest(key, "card", round_id, pair_id, reviewer, str(occurrence)).hex()[:32]


def shown_first(key: bytes, seed: int, round_id: str, pair_id: str, reviewer: str, occurrence: int) -> Side:
    """The side that stands left, drawn per (round, pair, reviewer); each repeat swaps it.

    The key is part of the draw, because a seed such as 7 is guessed easily.
    """
    drawn: Side = "old" if _digest(key, "side", str(seed), round_id, pair_id, reviewer)[0] & 1 else "new"
    return other(drawn) if occurrence % 2 else drawn


def comes_back(key: bytes, seed: int, round_id: str, reviewer: str, issued: int, share: float) -> bool:
    """Whether the reviewer's card number `issued` (from 0) is among the `share` that is shown again.

    A systematic draw with a random start: of n cards, n * share come back, give or take one.
    """
    start = int.from_bytes(_digest(key, "repeat", str(seed), round_id, reviewer)[:6], "big") / 2**48
    return int((issued + 1) * share + start) > int(issued * share + start)


def _digest(key: bytes, *parts: str) -> bytes:
    # Lengths go in, so that ("ab", "c") and ("a", "bc") differ.
    message = b"".join(len(raw).to_bytes(8, "big") + raw for raw in (part.encode() for part in parts))
    return hmac.new(key, message, hashlib.sha256).digest()

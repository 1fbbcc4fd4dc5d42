"""The configuration of the pipeline: replay, endpoints, judges, embedding, gates. README documents every key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Api = Literal["openai", "anthropic", "vllm", "sglang", "tensorrt_llm", "llama_cpp", "litellm", "bifrost"]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# The name of an environment variable: keys stand in the environment, never in the file.
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Price(Section):
    """US dollars for a million tokens."""

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)


class Endpoint(Section):
    """A model server, how fast it may be asked, and what it costs.

    Attributes:
        base_url: up to and including the version, as in http://localhost:8000/v1.
        model: the name the server knows it by.
        api: the dialect spoken there.
        api_key_env: the environment variable that holds the key.
        parameters: sent with every request, as in {temperature: 0, max_tokens: 512}; they win over the trace's own.
        concurrency: requests in flight.
        requests_per_minute: at most; unlimited when absent.
        tokens_per_minute: input and output together, at most; unlimited when absent.
        timeout_seconds: for one answer.
        retries: after the first attempt, for what may pass (429, 5xx, resets, timeouts).
        budget_usd: a run stops before it would spend more.
        price: for a million tokens.
        revision: of the model, as people and reports name it.
        quantization: of the model's weights, as in awq-4bit.
        runtime: what serves it, as in vllm 0.9; by default the dialect.
    """

    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
    model: Name
    api: Api = "openai"
    api_key_env: EnvironmentName | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    concurrency: int = Field(default=8, ge=1, le=512)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    timeout_seconds: float = Field(default=120.0, gt=0)
    retries: int = Field(default=5, ge=0, le=20)
    budget_usd: float | None = Field(default=None, ge=0)
    price: Price = Price()
    revision: Name | None = None
    quantization: Name | None = None
    runtime: Name | None = None


class Provider(Endpoint):
    """An endpoint that serves the judge role. `name` is how runs and costs speak of it."""

    name: Name


class Endpoints(Section):
    """The two stacks that are compared."""

    old: Endpoint
    new: Endpoint


class Replay(Section):
    """Which traces are replayed, and how they are prepared.

    Attributes:
        sample_size: traces in a sample.
        window_days: how far back the sample reaches from the newest trace.
        strip_pii: strip personal data before the first write, on every way in.
        cluster_method: how traces are grouped.
        min_cluster_size: texts in the smallest cluster of 10,000; it goes with the root of n, 7 of 2,000, at least 5.
        customer_share: one customer's largest share of a sample.
        minimum_per_cluster: traces that a rare cluster gives at least.
        audit_size: random traces for the weekly human audit.
    """

    sample_size: int = Field(default=2000, ge=1, le=1_000_000)
    window_days: int = Field(default=7, ge=1, le=3650)
    strip_pii: bool = True
    cluster_method: Literal["hdbscan"] = "hdbscan"
    min_cluster_size: int = Field(default=15, ge=2, le=10_000)
    customer_share: float = Field(default=0.05, gt=0, le=1)
    minimum_per_cluster: int = Field(default=5, ge=0)
    audit_size: int = Field(default=50, ge=0, le=10_000)


class Embedding(Section):
    """What turns a trace's intent into a vector.

    Attributes:
        model: all-MiniLM-L6-v2 comes with the installation; any other is a name or folder of sentence-transformers, or
            the model of `endpoint`.
        base_url: an OpenAI-compatible embeddings server; without it the model runs here.
        api_key_env: the environment variable that holds the server's key.
        price: for a million tokens.
    """

    model: Name = "all-MiniLM-L6-v2"
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] | None = None
    api_key_env: EnvironmentName | None = None
    price: Price = Price()


class JudgeCache(Section):
    """When an earlier verdict answers for a new one.

    Attributes:
        semantic: also for near-duplicates by embedding, not only for exactly the same call.
        threshold: least cosine of prompt and of each output for a near-duplicate.
        audit_share: of the semantic hits that are judged anew.
        ceiling: the semantic cache is off while the upper limit of its excess flips is above this.
    """

    semantic: bool = True
    threshold: float = Field(default=0.97, gt=0, le=1)
    audit_share: Share = 0.05
    ceiling: Share = 0.02


class Judges(Section):
    """How answers are compared by machines.

    Attributes:
        structured: for tool calls and JSON.
        freeform: for text.
        judge_model: the judge's name; agreement is kept by the model that in truth served.
        providers: who serves it; the cheapest healthy one is asked. Without one, nothing is judged.
        votes: of one free-form comparison.
        temperature: of each vote.
        cache: when an earlier verdict answers.
        anchors: pairs of the fixed anchor set that is judged anew in every run; 0 for none.
        budget_usd: a run stops before it would spend more.
    """

    structured: Literal["exact_match_with_arg_judge", "exact_match"] = "exact_match_with_arg_judge"
    freeform: Literal["pairwise_preference"] = "pairwise_preference"
    judge_model: Name = "claude-sonnet-4-6"
    providers: tuple[Provider, ...] = Field(default=(), strict=False)
    votes: int = Field(default=3, ge=1, le=15)
    temperature: float = Field(default=0.3, ge=0, le=2)
    cache: JudgeCache = JudgeCache()
    anchors: int = Field(default=20, ge=0, le=1000)
    budget_usd: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def provider_names_differ(self) -> Self:
        """Costs and health are kept by provider name."""
        names = [each.name for each in self.providers]
        if len(set(names)) != len(names):
            raise ValueError("two providers have the same name; give each its own")
        return self


class Gates(Section):
    """What a contract for the gate starts from; `review contract init` writes it, people change and sign it.

    Attributes:
        regression_threshold: loss of the weighted score that is a regression.
        adversarial_floor: least pass rate of new on the adversarial set.
        benchmark_tolerance: how much lower new may score on a benchmark.
        golden_tolerance: the same of the golden set.
        tone_margin: how far old's tone may be the fitter one more often, of labelled pairs.
        calibration_margin: how far the Brier score may rise, and the wording move between too careful and too sure.
        judge_agreement: least share of pairs on which the judge says what people say.
        requires: kinds of evidence without which there is no parity.
    """

    regression_threshold: float = Field(default=0.02, ge=0, le=1)
    adversarial_floor: float = Field(default=0.85, ge=0, le=1)
    benchmark_tolerance: float = Field(default=0.015, gt=0, lt=1)
    golden_tolerance: float = Field(default=0.015, gt=0, lt=1)
    tone_margin: float = Field(default=0.1, gt=0, lt=1)
    calibration_margin: float = Field(default=0.1, gt=0, lt=1)
    judge_agreement: float = Field(default=0.6, ge=0, lt=1)
    requires: tuple[Literal["benchmark", "golden", "replay", "shadow", "adversarial"], ...] = Field(
        default=("replay",), strict=False
    )

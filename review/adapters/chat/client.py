"""The one client for chat models: retries, limits, budgets and errors around a dialect. Streaming stays off."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from review.adapters.chat import anthropic, failures, openai
from review.adapters.chat.connections import open_http
from review.adapters.chat.limits import LONGEST_RETRY_AFTER, Bucket, Budget, Clock, Pause, Sleep, backoff
from review.adapters.chat.values import FATAL, TRANSIENT, Answer, BadBody, Completion, Refusal, Request
from review.domain.pipeline import Endpoint, Provider
from review.domain.types import Output
from review.errors import BadSettings, EndpointUnusable, ModelFailed

# What is assumed of an answer without a limit, where money is at stake.
UNSTATED_OUTPUT = 16_384
# Tokens of four bytes: the rule of thumb by which rate limits are planned. Usage corrects it afterwards.
_BYTES_A_TOKEN = 4
_OUR_OWN = frozenset({"model", "messages", "tools", "system", "stream"})
_REMEDIES = {
    "auth": "it refuses the key. Set the environment variable that api_key_env names to a valid key",
    "bad_model": "there is no such model, or nothing at this address. Compare base_url (up to and including the "
    "version) and model with what the server offers",
    "quota": "the account's quota or credit is used up. Add credit or raise its limit",
    "unsupported": "it does not take a parameter that the configuration sets. Remove it from the endpoint's parameters",
    "context_length": "the input is longer than the model's context",
    "refused": "its content filter refused the input",
    "bad_request": "it refuses the request as it is",
    "timeout": "no answer within timeout_seconds",
    "rate_limited": "too many requests; lower concurrency, or set requests_per_minute and tokens_per_minute",
    "server_error": "the server failed",
    "connection": "it cannot be reached, or closed the connection",
    "bad_body": "the body was cut off, no JSON, or without an answer",
}


@dataclass(frozen=True)
class _Prepared:
    """A request as it goes out."""

    content: bytes
    names: tuple[str, ...]
    bound: bool
    tokens: float
    worst_usd: float


class ChatClient:
    """Asks one endpoint. Many requests may be under way; `concurrency` of them are sent at a time.

    Use it inside one event loop, and close it (or use `async with`).

    Attributes:
        endpoint: what is asked.
        spent: the endpoint's own budget, and what was spent of it.
        dropped: parameters that the server has refused and that are left out since.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str | None = None,
        *,
        name: str | None = None,
        budget: Budget | None = None,
        http: httpx.AsyncClient | None = None,
        environ: Mapping[str, str] = os.environ,
        rng: random.Random | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepare to ask.

        Args:
            endpoint: from the configuration.
            key: the API key's value; from the environment variable `api_key_env` by default.
            name: how errors speak of it; a provider's name or the model by default.
            budget: shared with other clients, beside the endpoint's own.
            http: shared with other clients; one of its own otherwise, with as many connections as `concurrency`.
            environ: where the key is looked up.
            rng: for the jitter.
            clock: seconds that only grow.
            sleep: waits so many seconds.

        Raises:
            BadSettings: the configured environment variable is not set.
            EndpointUnusable: the key has characters that no header can carry.
        """
        self.endpoint = endpoint
        self.name = name or (endpoint.name if isinstance(endpoint, Provider) else endpoint.model)
        self.spent = Budget(endpoint.budget_usd)
        self.dropped: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._budgets = [self.spent, *([budget] if budget else [])]
        self._dialect: ModuleType = anthropic if endpoint.api == "anthropic" else openai
        key = (_key(endpoint, self.name, environ) if key is None else key).strip()
        if not (key.isascii() and key.isprintable()):
            raise self._error(Refusal("auth"), 0)
        self._url = httpx.URL(endpoint.base_url.rstrip("/") + self._dialect.PATH)
        self._headers = {"content-type": "application/json", **self._dialect.headers(key or None)}
        self._own_http = http is None
        self._http = http or open_http(endpoint.concurrency)
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._requests = Bucket(endpoint.requests_per_minute, clock, sleep) if endpoint.requests_per_minute else None
        self._tokens = Bucket(endpoint.tokens_per_minute, clock, sleep) if endpoint.tokens_per_minute else None
        self._pause = Pause(clock, sleep)
        # Jitter need not be unguessable.
        self._rng = rng or random.Random()  # noqa: S311
        self._clock, self._sleep = clock, sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._own_http:
            await self._http.aclose()

    async def complete(self, request: Request) -> Completion:
        """The model's answer, after as many attempts as the endpoint allows.

        Raises:
            ModelFailed: there was none; `kind` says why.
            EndpointUnusable: nor will there be one to any other request.
            BudgetSpent: it could have cost more than is left.
        """
        async with self._slots:
            attempts = failed = 0
            while True:
                prepared = self._prepare(request)
                await self._admit(prepared)
                attempts += 1
                outcome = await self._attempt(prepared, attempts)
                if isinstance(outcome, Completion):
                    return outcome
                if outcome.kind == "unsupported":
                    if self._adjust(outcome, prepared, attempts):
                        continue
                    outcome = replace(outcome, kind="bad_request")
                failed += 1
                wait = self._wait(outcome, failed)
                if wait is None:
                    raise self._error(outcome, attempts)
                await self._sleep(wait)

    def _prepare(self, request: Request) -> _Prepared:
        body: dict[str, Any] = self._dialect.body(self.endpoint, request)
        for old, new in self._renamed.items():
            if old in body:
                body[new] = body.pop(old)
        for name in self.dropped:
            body.pop(name, None)
        bound = request.response_schema is not None and ("response_format" in body or "output_config" in body)
        # Compact, and as UTF-8 rather than escapes: what is sent is counted.
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        answer = limit if isinstance(limit, int) else UNSTATED_OUTPUT
        price = self.endpoint.price
        # A token is at least a byte, so this is never too little.
        worst = (len(content) * price.input + answer * price.output) / 1e6
        tokens = len(content) / _BYTES_A_TOKEN + (answer if limit else 0)
        names = tuple(name for name in body if name not in _OUR_OWN)
        return _Prepared(content, names, bound, tokens, worst)

    async def _admit(self, prepared: _Prepared) -> None:
        """Wait until the budget and the limits let it through. What the budget holds, `_attempt` settles."""
        held: list[Budget] = []
        try:
            for budget in self._budgets:
                await budget.hold(prepared.worst_usd)
                held.append(budget)
            await self._pause.over()
            if self._requests:
                await self._requests.take(1)
            if self._tokens:
                await self._tokens.take(prepared.tokens)
        except BaseException:
            for budget in held:
                budget.settle(prepared.worst_usd, 0.0)
            raise

    async def _attempt(self, prepared: _Prepared, attempts: int) -> Completion | Refusal:
        """Send it once."""
        cost, used = prepared.worst_usd, prepared.tokens
        begin = self._clock()
        try:
            response = await self._send(prepared.content)
            if isinstance(response, Refusal):
                return response
            latency = (self._clock() - begin) * 1000
            answer = self._read(response, prepared)
            if isinstance(answer, Refusal):
                # A body that cannot be read may have been paid for; a refusal by number was not.
                cost = prepared.worst_usd if answer.kind == "bad_body" else 0.0
                return answer
            cost, used = self._cost(answer, response.headers, prepared)
            return Completion(
                output=_output(answer, self.endpoint.model, latency),
                served=answer.served,
                usage=answer.usage,
                latency_ms=latency,
                attempts=attempts,
                cost_usd=cost,
                bound=prepared.bound,
                dropped=tuple(sorted(self.dropped)),
            )
        finally:
            for budget in self._budgets:
                budget.settle(prepared.worst_usd, cost)
            if self._tokens:
                self._tokens.settle(prepared.tokens, used)

    async def _send(self, content: bytes) -> httpx.Response | Refusal:
        try:
            # httpx limits each read; a body that trickles would take for ever.
            async with asyncio.timeout(self.endpoint.timeout_seconds):
                return await self._http.post(self._url, content=content, headers=self._headers)
        except (TimeoutError, httpx.TimeoutException):
            return Refusal("timeout")
        except httpx.DecodingError:
            return Refusal("bad_body")
        except (httpx.TransportError, httpx.InvalidURL):
            return Refusal("connection")

    def _read(self, response: httpx.Response, prepared: _Prepared) -> Answer | Refusal:
        content = response.content
        if response.is_success:
            # Whatever the content type says: some label JSON as text, and others HTML as nothing at all.
            try:
                document: object = json.loads(content)
                if not failures.says_error(document):
                    return self._dialect.read(document)
            except (ValueError, RecursionError, BadBody):
                return Refusal("bad_body", status=response.status_code)
        models = (self.endpoint.model,)
        return failures.read_refusal(response.status_code, response.headers, content, prepared.names, models)

    def _cost(self, answer: Answer, headers: Mapping[str, str], prepared: _Prepared) -> tuple[float, float]:
        """What the answer cost, and the tokens it took; estimated where the server does not say."""
        price = self.endpoint.price
        size = len((answer.content or "").encode()) + sum(len(str(call)) for call in answer.tool_calls or [])
        asked = _count(answer.usage.get("prompt_tokens"), len(prepared.content) / _BYTES_A_TOKEN)
        written = _count(answer.usage.get("completion_tokens"), size / _BYTES_A_TOKEN)
        cost = (asked * price.input + written * price.output) / 1e6
        if not (price.input or price.output):
            cost = _number(headers.get("x-litellm-response-cost"))
        return cost, asked + written

    def _adjust(self, refusal: Refusal, prepared: _Prepared, attempts: int) -> bool:
        """Leave out, or rename, what the server does not take; False where nothing can be done.

        Raises:
            EndpointUnusable: the configuration itself asks for it.
        """
        changed = False
        own = self.endpoint.parameters
        names = set(refusal.names)
        if names >= {"temperature", "top_p"}:
            # Newer models of Anthropic take one of the two.
            names.remove("top_p" if "top_p" in own and "temperature" not in own else "temperature")
        for name in sorted(names):
            other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}.get(name)
            if other and name not in self._renamed and other not in self._renamed:
                self._renamed[name] = other
                changed = True
            elif name in self._renamed or name in self.dropped:
                changed = True  # learned from another request meanwhile
            elif name in own:
                raise self._error(refusal, attempts)
            else:
                self.dropped.add(name)
                changed = True
        # "top_logprobs requires logprobs": one without the other means nothing.
        if "logprobs" in self.dropped:
            self.dropped.add("top_logprobs")
        return changed and attempts <= len(prepared.names) + self.endpoint.retries + 1

    def _wait(self, refusal: Refusal, failed: int) -> float | None:
        """Seconds until the next attempt, or None where there is to be none."""
        if refusal.kind not in TRANSIENT or failed > self.endpoint.retries:
            return None
        asked = refusal.retry_after
        if asked is None:
            return backoff(failed, self._rng)
        if asked > LONGEST_RETRY_AFTER:
            return None
        # It speaks to all of us. A little apart, because all at once would be refused again.
        self._pause.until(asked)
        return asked + self._rng.uniform(0, min(1.0, asked))

    def _error(self, refusal: Refusal, attempts: int) -> ModelFailed:
        unusable = refusal.kind in FATAL or refusal.kind == "unsupported"
        said = " ".join(filter(None, [f"HTTP {refusal.status}" if refusal.status else "", refusal.code]))
        # The names are of parameters that we sent.
        names = f" ({', '.join(refusal.names)})" if refusal.names else ""
        where = f"{self.name} at {urlsplit(self.endpoint.base_url).netloc.rpartition('@')[2]}"
        message = f"{where}: {_REMEDIES[refusal.kind]}{names}{f' [{said}]' if said else ''}."
        return (EndpointUnusable if unusable else ModelFailed)(message, refusal.kind, attempts)


def _key(endpoint: Endpoint, name: str, environ: Mapping[str, str]) -> str:
    if endpoint.api_key_env is None:
        return ""
    if not (key := environ.get(endpoint.api_key_env, "").strip()):
        raise BadSettings(
            f"{name} needs a key, and the environment variable {endpoint.api_key_env} is not set. Set it, or remove "
            "api_key_env where the server wants none."
        )
    return key


def _output(answer: Answer, model: str, latency: float) -> Output:
    return Output.model_validate(
        {
            "model": answer.served or model,
            "content": answer.content,
            "tool_calls": answer.tool_calls,
            "confidence": answer.confidence,
            "finish_reason": answer.finish_reason,
            "latency_ms": round(latency, 1),
            "usage": answer.usage or None,
        }
    )


def _count(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value >= 0 else otherwise


def _number(value: str | None) -> float:
    try:
        number = float(value or 0)
    except ValueError:
        return 0.0
    return number if 0 <= number < float("inf") else 0.0

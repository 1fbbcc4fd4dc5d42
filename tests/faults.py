"""A model server that does what real ones do rarely, and counts what it was asked.

`FaultServer(plan)` serves in a thread of its own. `plan(prompt, nth)` names the fault for the nth request (from 1) with
this prompt, or None for a good answer; a prompt is the text of the last user message. `answer(document)` makes the good
answer's text (or a dict with content and tool_calls) out of the request's body.

    with FaultServer(lambda prompt, nth: "reset" if nth == 1 else None) as server:
        Endpoint(base_url=server.url, model="m")

In a process of its own: `python -m tests.faults --port 8660 --latency 0.05`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

Plan = Callable[[str, int], "str | None"]
Maker = Callable[[dict[str, Any]], "str | dict[str, Any]"]

# Faults that may pass, and the kind of error that they are.
PASSING = {
    "429": "rate_limited",
    "429_date": "rate_limited",
    "500": "server_error",
    "503_text": "server_error",
    "529": "server_error",
    "reset": "connection",
    "reset_in_body": "connection",
    "slow": "timeout",
    "silent": "timeout",
    "truncated": "bad_body",
    "html": "bad_body",
    "empty": "bad_body",
    "error_200": "server_error",
    "error_200_unknown": "bad_body",
    "empty_choices": "bad_body",
    "null": "bad_body",
    "not_utf8": "bad_body",
}
# Faults that trying again does not cure.
LASTING = {
    "401": "auth",
    "403_text": "auth",
    "404": "bad_model",
    "redirect": "bad_model",
    "429_quota": "quota",
    "context_400": "context_length",
    "context_500": "context_length",
    "context_200": "context_length",
    "filter": "refused",
    "400": "bad_request",
}
ODD_BUT_GOOD = ("text_plain", "octets")


def prompt_of(document: dict[str, Any]) -> str:
    """The text of the last user message."""
    for message in reversed(document.get("messages", [])):
        if message["role"] == "user":
            content = message["content"]
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return ""


class FaultServer:
    """Serves until closed. `counts` is requests by prompt, `requests` the bodies, `good` the good answers by prompt."""

    def __init__(
        self,
        plan: Plan = lambda prompt, nth: None,
        *,
        api: str = "openai",
        answer: Maker | None = None,
        latency: float = 0.0,
        port: int = 0,
        retry_after: float = 0.02,
    ) -> None:
        self.plan, self.api, self.latency, self.retry_after = plan, api, latency, retry_after
        self.answer: Maker = answer or (lambda document: f"answer to {prompt_of(document)}")
        self.counts: Counter[str] = Counter()
        self.good: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0
        self.keep = True
        self._port = port
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> FaultServer:
        self._thread.start()
        assert self._ready.wait(10), "the fault server did not start"
        return self

    def close(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._converse(reader, writer)
            tasks.discard(task)
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection, one after the other."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            document = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
            prompt = prompt_of(document)
            self.counts[prompt] += 1
            if self.keep:
                self.requests.append(document)
                self.headers.append(headers)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                if self.latency:
                    await asyncio.sleep(self.latency)
                fault = self.plan(prompt, self.counts[prompt])
                if not await self._reply(writer, document, fault, prompt):
                    return
            finally:
                self.under_way -= 1

    async def _reply(
        self, writer: asyncio.StreamWriter, document: dict[str, Any], fault: str | None, prompt: str
    ) -> bool:
        """Send the answer or the fault; False where the connection ends with it."""
        body = json.dumps(shape(self.api, document, self.answer(document))).encode()
        extra = {"x-litellm-response-cost": "0.0021"} if self.api == "litellm" else {}
        if fault is None or fault in ODD_BUT_GOOD:
            self.good[prompt] += 1
            kind = {"text_plain": "text/plain", "octets": "application/octet-stream"}.get(fault or "")
            writer.write(message(200, body, {"content-type": kind or "application/json"} | extra))
            await writer.drain()
            return True
        if fault == "silent":
            await asyncio.sleep(3600)
        if fault == "slow":
            writer.write(message(200, body).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            for at in range(len(body)):
                writer.write(body[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.05)
            return False
        if fault == "reset":
            _reset(writer)
            return False
        if fault == "reset_in_body":
            writer.write(message(200, body)[:-20])
            await writer.drain()
            _reset(writer)
            return False
        writer.write(self._fault(fault, body, document))
        await writer.drain()
        return True

    def _fault(self, fault: str, body: bytes, document: dict[str, Any]) -> bytes:
        wait = self.retry_after
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=wait), usegmt=True)
        page = b"<html><body>502 Bad Gateway</body></html>"
        long = "This model's maximum context length is 2048 tokens. However, you requested 2723 tokens."
        secret = prompt_of(document)
        made: dict[str, Callable[[], bytes]] = {
            "429": lambda: self._error(429, "rate_limit_error", f"slow down: {secret}", {"retry-after": str(wait)}),
            "429_date": lambda: self._error(429, "rate_limit_error", "slow down", {"retry-after": soon}),
            "429_quota": lambda: self._error(429, "insufficient_quota", "You exceeded your current quota."),
            "500": lambda: self._error(500, "InternalServerError", f"boom: {secret}"),
            "503_text": lambda: message(503, b"upstream connect error", {"content-type": "text/plain"}),
            "529": lambda: self._error(529, "overloaded_error", "Overloaded"),
            "truncated": lambda: message(200, body[: len(body) // 2]),
            "html": lambda: message(200, page, {"content-type": "text/html"}),
            "empty": lambda: message(200, b""),
            "null": lambda: message(200, b"null"),
            "not_utf8": lambda: message(200, body[:-2] + b"\xff\xfe}"),
            "error_200": lambda: self._error(200, "internal_server_error", "The server is overloaded", code=503),
            "error_200_unknown": lambda: message(200, json.dumps({"error": {"message": "?"}}).encode()),
            "empty_choices": lambda: message(200, json.dumps(without_answer(self.api, document)).encode()),
            "401": lambda: self._error(401, "invalid_api_key", "Incorrect API key provided: sk-***"),
            "403_text": lambda: message(403, b"Forbidden", {"content-type": "text/plain"}),
            "404": lambda: self._error(404, "model_not_found", "The model `m` does not exist."),
            "redirect": lambda: message(307, b"", {"location": "/elsewhere"}),
            "context_400": lambda: self._error(400, "BadRequestError", long + " " + secret),
            "context_500": lambda: self._error(500, "server_error", "Context size has been exceeded."),
            "context_200": lambda: self._error(200, "BadRequestError", long, code=400),
            "filter": lambda: self._error(400, "content_filter", "The content management policy was triggered."),
            "400": lambda: self._error(400, "invalid_request_error", f"Invalid message: {secret}"),
        }
        if fault == "refuses_both":
            words = "`temperature` and `top_p` cannot both be specified for this model."
            both = {"temperature", "top_p"} <= set(document)
            return self._error(400, "invalid_request_error", words) if both else message(200, body)
        if fault.startswith("refuses:"):
            name = fault.partition(":")[2]
            words = f"Unsupported parameter: '{name}' is not supported with this model."
            return self._error(400, "unsupported_parameter", words) if name in document else message(200, body)
        return made[fault]()

    def _error(
        self, status: int, kind: str, words: str, headers: dict[str, str] | None = None, code: int | None = None
    ) -> bytes:
        """An error as this server's dialect has it."""
        number = code or status
        shapes: dict[str, dict[str, Any]] = {
            "openai": {"error": {"message": words, "type": kind, "param": None, "code": code if code else kind}},
            "anthropic": {"type": "error", "error": {"type": kind, "message": words}, "request_id": "r1"},
            "sglang": {"object": "error", "message": words, "type": kind, "param": None, "code": number},
            "tensorrt_llm": {"object": "error", "message": words, "type": kind, "param": None, "code": number},
            "vllm": {"error": {"message": words, "type": kind, "param": None, "code": number}},
            "llama_cpp": {"error": {"code": number, "message": words, "type": kind}},
            "litellm": {"error": {"message": f"litellm.{kind}: {words}", "type": kind, "code": str(number)}},
            "bifrost": {"is_bifrost_error": True, "status_code": number, "error": {"type": kind, "message": words}},
        }
        return message(status, json.dumps(shapes[self.api]).encode(), headers)


def message(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """An HTTP/1.1 response."""
    lines = {"content-type": "application/json", "content-length": str(len(body))} | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST, as a crashed server or a proxy does."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def vector(text: str) -> list[float]:
    """An embedding of a poor kind: how often each word is there, on 64 places."""
    counts = [0.0] * 64
    for word in text.lower().split():
        counts[zlib.crc32(word.encode()) % 64] += 1.0
    return counts


def shape(api: str, document: dict[str, Any], answer: str | dict[str, Any]) -> dict[str, Any]:
    """A good answer as the server of this dialect gives it, oddities included."""
    parts: dict[str, Any] = {"content": answer} if isinstance(answer, str) else answer
    content, calls = parts.get("content"), parts.get("tool_calls") or []
    words = (content or "").split() or [""]
    usage = {"prompt_tokens": 12, "completion_tokens": len(words), "total_tokens": 12 + len(words)}
    served = f"{document['model']}-served"
    if api == "embeddings":
        rows = [{"index": place, "embedding": vector(text)} for place, text in enumerate(document["input"])]
        spent = sum(len(text.split()) for text in document["input"])
        return {"object": "list", "data": rows, "usage": {"prompt_tokens": spent, "total_tokens": spent}}
    if api == "anthropic":
        blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if content is not None else []
        blocks += [
            {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["arguments"]} for call in calls
        ]
        return {
            "type": "message",
            "role": "assistant",
            "model": served,
            "content": blocks,
            "stop_reason": "tool_use" if calls else "end_turn",
            "usage": {"input_tokens": 12, "output_tokens": len(words), "service_tier": "standard"},
        }
    message_: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message_["tool_calls"] = [
            {
                "id": None if api == "sglang" else call["id"],
                "type": "function",
                "function": {
                    "name": call["name"],
                    # llama.cpp's templates and some gateways give the object itself.
                    "arguments": call["arguments"]
                    if api in ("llama_cpp", "bifrost")
                    else json.dumps(call["arguments"]),
                },
            }
            for call in calls
        ]
    elif api in ("vllm", "tensorrt_llm"):
        message_["tool_calls"] = []
    if api in ("sglang", "vllm"):
        message_["reasoning_content"] = "thinking"
    choice: dict[str, Any] = {"index": 0, "message": message_, "finish_reason": "tool_calls" if calls else "stop"}
    if calls and api == "llama_cpp":
        choice["finish_reason"] = "stop"
    if document.get("logprobs"):
        given = {
            "content": [{"token": word, "logprob": -0.1 * at, "top_logprobs": []} for at, word in enumerate(words)]
        }
        choice["log_probs" if api == "bifrost" else "logprobs"] = given
    made = {"id": "c1", "object": "chat.completion", "model": served, "choices": [choice], "usage": usage}
    if api == "bifrost":
        made["extra_fields"] = {"provider": "openai", "resolved_model_used": served}
        made["model"] = ""
    return made


def without_answer(api: str, document: dict[str, Any]) -> dict[str, Any]:
    """A whole body that has no answer in it."""
    made = shape(api, document, "x")
    return made | ({"content": [], "stop_reason": None} if api == "anthropic" else {"choices": []})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    given = parser.parse_args()
    server = FaultServer(port=given.port, latency=given.latency)
    server.keep = False
    server.start()
    print(server.url, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    main()

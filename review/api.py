"""HTTP for machines, in the app's process, behind a bearer token: operations of commands, records of other systems."""

from __future__ import annotations

import functools
import hmac
import logging
import os
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from review import __version__
from review.adapters import door
from review.errors import (
    BadInput,
    ChainBroken,
    Conflict,
    DatabaseLocked,
    NotAllowed,
    NotFound,
    ReviewError,
)
from review.services import desk
from review.services.workspace import Workspace

if TYPE_CHECKING:
    from review.services.receive import Kind

_log = logging.getLogger("review.api")
_Result = TypeVar("_Result")
Owner = Callable[[], Workspace]
Endpoint = Callable[[Request], Awaitable[Response]]

# Bytes of one request. A batch of the command line has at most a third of it.
MAX_BODY = 64 << 20
# Operations at the same time, in threads of their own: reviewers' threads never wait for one of them.
_AT_ONCE = 2
# Bytes of one request of another system. Stripping it takes about 20 seconds a megabyte.
MAX_RECORDS = 4 << 20
_KINDS: tuple[Kind, ...] = ("traces", "pairs", "flags")
_JSON, _LINES = "application/json", ("application/x-ndjson", "application/jsonl")
_MAX_NAME = 60
_STATUS: tuple[tuple[type[ReviewError], int], ...] = (
    (BadInput, 422),
    (NotFound, 404),
    (NotAllowed, 403),
    (Conflict, 409),
    (ChainBroken, 409),
    (DatabaseLocked, 503),
)


class TooLarge(BadInput):
    """The body has more bytes than are read."""


class WrongType(BadInput):
    """The body is of another kind than the address takes."""


class NotSignedIn(NotAllowed):
    """The bearer token is missing or wrong."""


def routes(owner: Owner) -> list[BaseRoute]:
    """The addresses below `door.PREFIX`; `owner` gives the process's workspace."""
    return [
        Route(door.PREFIX + "/hello", _hello(owner)),
        Route(door.PREFIX + "/operations/{name}", _guarded(owner, _operation), methods=["POST"]),
        Route(door.PREFIX + "/openapi.json", _openapi),
        *(Route(f"{door.PREFIX}/{kind}", _guarded(owner, _receiving(kind)), methods=["POST"]) for kind in _KINDS),
    ]


@asynccontextmanager
async def announced(owner: Owner, url: str) -> AsyncGenerator[None]:
    """While the server runs, a file beside the database says where it is, and lets its owner in."""
    try:
        workspace = owner()
    except ReviewError as error:
        _log.warning("no HTTP API: %s", error)
        yield
        return
    path = workspace.settings.api_file
    door.write_address(path, door.Address(url, door.token_of(workspace.key), os.getpid(), __version__))
    try:
        yield
    finally:
        door.remove_address(path, os.getpid())


def _hello(owner: Owner) -> Endpoint:
    async def hello(request: Request) -> Response:
        """Proves that this is the app of the database, to a caller who has not shown its token yet."""
        workspace = owner()
        return JSONResponse(
            {
                "version": __version__,
                "pid": os.getpid(),
                "config": desk.digest_of(workspace.settings),
                "proof": door.proof(door.token_of(workspace.key), request.query_params.get("nonce", "")[:100]),
            }
        )

    return hello


def _guarded(owner: Owner, answer: Callable[[Workspace, Request], Awaitable[Response]]) -> Endpoint:
    """An address behind the token; errors of ours become JSON, and nothing unexpected tells a text."""

    async def endpoint(request: Request) -> Response:
        try:
            workspace = owner()
            _check_token(workspace, request)
            return await answer(workspace, request)
        except ReviewError as error:
            return refusal(error)
        except Exception as error:  # the door: what is unexpected is told by its kind alone
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("%s: unexpected %s at %s:%s", request.url.path, type(error).__name__, place.name, place.lineno)
            return refusal(ReviewError(f"The app met an unexpected {type(error).__name__}; its log says where."))

    return endpoint


def refusal(error: ReviewError) -> Response:
    """An error of ours as a response."""
    if isinstance(error, NotSignedIn):
        status = 401
    elif isinstance(error, TooLarge):
        status = 413
    elif isinstance(error, WrongType):
        status = 415
    else:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(door.failure(error), status, headers)


def _check_token(workspace: Workspace, request: Request) -> None:
    """Compare in constant time, so that the time taken tells nothing of the token."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    right = door.token_of(workspace.key)
    if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), right.encode()) or kind.lower() != "bearer":
        name = workspace.settings.api_file.name
        raise NotSignedIn(f'Send "Authorization: Bearer TOKEN"; the token stands in {name} beside the database.')


def _media(request: Request) -> str:
    """The content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, media: tuple[str, ...], largest: int = MAX_BODY) -> bytes:
    """The whole body.

    Raises:
        WrongType: its content type is none of `media`.
        TooLarge: it has more than `largest` bytes.
    """
    kind = _media(request)
    if kind not in media:
        raise WrongType(f"The content type is {kind[:60]!r}; accepted: {', '.join(media)}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise TooLarge(f"The body has more than {largest:,} bytes. Send it in smaller batches.")
    return bytes(body)


@functools.cache
def _limiter(_purpose: str) -> Any:
    return anyio.CapacityLimiter(_AT_ONCE)


async def in_a_thread(purpose: str, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Run outside the event loop, in one of the few threads that the API has for a purpose."""
    return await anyio.to_thread.run_sync(functools.partial(function, *arguments), limiter=_limiter(purpose))


async def _operation(workspace: Workspace, request: Request) -> Response:
    body = await read_body(request, (door.MEDIA,))
    answer = await in_a_thread("operations", _run, workspace, request.path_params["name"], body)
    return Response(answer, media_type=door.MEDIA)


async def _openapi(_: Request) -> Response:
    """The API for other systems, for machines to read; it tells no fact, so it needs no token."""
    from review.services import receive

    return JSONResponse(receive.openapi(door.PREFIX, __version__))


def _receiving(kind: Kind) -> Callable[[Workspace, Request], Awaitable[Response]]:
    async def take_in(workspace: Workspace, request: Request) -> Response:
        body = await read_body(request, (_JSON, *_LINES), MAX_RECORDS)
        lines = _media(request) in _LINES
        # Stripping is slow: it has threads of its own, so that commands do not wait for it.
        return await in_a_thread("records", _receive, workspace, kind, body, lines)

    return take_in


def _receive(workspace: Workspace, kind: Kind, body: bytes, lines: bool) -> Response:
    from review.services import receive

    done = receive.receive(workspace, kind, receive.parse(body, lines=lines), "api", datetime.now(UTC))
    return JSONResponse(done.to_json(), 422 if done.rejected and len(done.rejected) == done.read else 200)


def _run(workspace: Workspace, name: str, body: bytes) -> bytes:
    head, table = door.unpack(body)
    arguments, by = head.get("arguments"), head.get("by")
    if not isinstance(arguments, dict) or not isinstance(by, str) or not 0 < len(by) <= _MAX_NAME:
        raise BadInput('The JSON needs "arguments", an object, and "by", a name of 1 to 60 characters.')
    call = desk.Call(cast("dict[str, Any]", arguments), table, by, datetime.now(UTC))
    answer = desk.run(workspace, name, call)
    return door.pack(answer.document, answer.table)

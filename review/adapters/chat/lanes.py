"""A transport for many requests to few servers: a pool for each connection, because a shared one is slow to share.

httpcore looks at every connection of a pool, whenever a request comes or goes, for every request that waits: at 16
connections that is two fifths of a client's work.
"""

from __future__ import annotations

import functools
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from urllib.request import getproxies

import httpx

# Seconds. Servers close idle connections after 5 (uvicorn) to 75 (nginx); a closed one is noticed before it is used.
_KEEP = 30.0
_Origin = tuple[bytes, bytes, int | None]


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates of the authorities takes as long as a hundred requests."""
    return httpx.create_ssl_context()


class Lanes(httpx.AsyncBaseTransport):
    """As many connections as requests are under way at once; whoever uses it limits those."""

    def __init__(self) -> None:
        self._free: dict[_Origin, list[httpx.AsyncHTTPTransport]] = defaultdict(list)
        self._all: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it down the lane that was used last; its connection is the likeliest to be alive."""
        free = self._free[(request.url.raw_scheme, request.url.raw_host, request.url.port)]
        lane = free.pop() if free else self._open()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            free.append(lane)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, functools.partial(free.append, lane))
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in self._all:
            await lane.aclose()

    def _open(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP)
        lane = httpx.AsyncHTTPTransport(verify=_tls(), limits=limits)
        self._all.append(lane)
        return lane


class _Body(httpx.AsyncByteStream):
    """A response's body; its end gives the lane back."""

    def __init__(self, stream: httpx.AsyncByteStream, release: Callable[[], None]) -> None:
        self._stream = stream
        self._release: Callable[[], None] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._release is not None:
                self._release()
                self._release = None


def open_http(connections: int) -> httpx.AsyncClient:
    """A client that can be shared. The time for an answer is limited elsewhere, as a whole.

    Where the environment names a proxy, it is httpx's own with `connections` connections, because that knows proxies.
    """
    timeout = httpx.Timeout(None, connect=30.0)
    if getproxies():
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP
        )
        return httpx.AsyncClient(limits=limits, timeout=timeout, verify=_tls(), follow_redirects=False)
    return httpx.AsyncClient(transport=Lanes(), timeout=timeout, follow_redirects=False)

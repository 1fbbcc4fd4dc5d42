"""A transport for many requests to few servers: each connection is a lane that one request has for itself.

httpx's own goes through a pool that looks at every connection whenever a request comes or goes, and through three
layers of streams: two thirds of a client's work. A lane is h11, which knows the protocol, on an asyncio transport.
"""

from __future__ import annotations

import asyncio
import functools
import select
import ssl
from collections import defaultdict
from urllib.request import getproxies

import h11
import httpx

# Seconds. Servers close idle connections after 5 (uvicorn) to 75 (nginx); a closed one is noticed before it is used.
_KEEP = 30.0
_CONNECT = 30.0
# Seconds until the server's next address is tried beside one that does not answer (RFC 8305).
_NEXT_ADDRESS = 0.25
# Bytes of headers that are read.
_MOST_HEADERS = 100_000
_Origin = tuple[str, str, int]


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates of the authorities takes as long as a hundred requests."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Lanes(httpx.AsyncBaseTransport):
    """As many connections as requests are under way at once; whoever uses it limits those, and the time they take."""

    def __init__(self) -> None:
        self._free: dict[_Origin, list[_Lane]] = defaultdict(list)
        self._all: set[_Lane] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it down the lane that was used last, whose connection is the likeliest to be alive.

        Raises:
            httpx.TransportError: there is no connection, or it ended before the answer did.
            httpx.DecodingError: the body is not compressed as it says.
        """
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        content = await request.aread()
        lane = self._alive(origin) or await self._open(origin)
        try:
            head, body = await lane.exchange(request, content)
        except BaseException:
            self._drop(lane)
            raise
        if lane.ready():
            self._free[origin].append(lane)
        else:
            self._drop(lane)
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), content=body, request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in list(self._all):
            self._drop(lane)
        self._free.clear()

    def _alive(self, origin: _Origin) -> _Lane | None:
        free = self._free[origin]
        while free:
            if (lane := free.pop()).alive():
                return lane
            self._drop(lane)
        return None

    async def _open(self, origin: _Origin) -> _Lane:
        scheme, host, port = origin
        connecting = asyncio.get_running_loop().create_connection(
            _Lane, host, port, ssl=_tls() if scheme == "https" else None, happy_eyeballs_delay=_NEXT_ADDRESS
        )
        try:
            async with asyncio.timeout(_CONNECT):
                _, lane = await connecting
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        # UnicodeError: a name that cannot be one.
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("no connection") from error
        self._all.add(lane)
        return lane

    def _drop(self, lane: _Lane) -> None:
        self._all.discard(lane)
        lane.transport.abort()


class _Lane(asyncio.Protocol):
    """One connection, one request at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, _MOST_HEADERS)
        self._broken = self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._used = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._http.receive_data(b"")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.eof_received()
            return
        # What had come before is read all the same: it may be a whole answer. But this is no end of one.
        self._broken = self._ended = True
        self._wake()

    async def exchange(self, request: httpx.Request, content: bytes) -> tuple[h11.Response, bytes]:
        """Send a request and read its answer to the end."""
        http = self._http
        try:
            sent = [
                http.send(h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)),
                http.send(h11.Data(content)) if content else None,
                http.send(h11.EndOfMessage()),
            ]
            # In one piece: each further one is another packet, and wakes the server again.
            self.transport.write(b"".join(filter(None, sent)))
            return await self._read()
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError("it cannot be sent") from error
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError("what came is not HTTP, or not all of it") from error

    async def _read(self) -> tuple[h11.Response, bytes]:
        head: h11.Response | None = None
        parts: list[bytes] = []
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA and not self._broken:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head, b"".join(parts)
            elif not isinstance(event, h11.InformationalResponse):
                raise httpx.ReadError("the connection ended before the answer did")

    def ready(self) -> bool:
        """Whether another request may follow on this connection."""
        http = self._http
        if self._ended or http.our_state is not h11.DONE or http.their_state is not h11.DONE or http.trailing_data[0]:
            return False
        http.start_next_cycle()
        self._used = asyncio.get_running_loop().time()
        return True

    def alive(self) -> bool:
        """Whether it is still open. What can be read from a free connection is its end, or nothing that was asked."""
        if self._ended or self._http.trailing_data[0] or asyncio.get_running_loop().time() - self._used > _KEEP:
            return False
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not waiting.poll(0)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def open_http(connections: int) -> httpx.AsyncClient:
    """A client that can be shared. The time for an answer is limited elsewhere, as a whole.

    Where the environment names a proxy, it is httpx's own with `connections` connections, because that knows proxies.
    """
    timeout = httpx.Timeout(None, connect=_CONNECT)
    if getproxies():
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP
        )
        return httpx.AsyncClient(limits=limits, timeout=timeout, verify=_tls(), follow_redirects=False)
    return httpx.AsyncClient(transport=Lanes(), timeout=timeout, follow_redirects=False)

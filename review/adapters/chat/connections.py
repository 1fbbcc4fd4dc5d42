"""httpx's client on aiohttp's connections: what is under every question to a model.

httpx's own pool looks at every connection whenever a request comes or goes, and speaks through three layers of streams:
two thirds of a client's work. aiohttp opens, keeps and closes connections and parses HTTP/1.1 in C; all else is httpx.
"""

from __future__ import annotations

import functools
import ssl
from urllib.request import getproxies

import aiohttp
import httpx
from yarl import URL

# Seconds. Servers close idle connections after 5 (uvicorn) to 75 (nginx).
_KEEP = 30.0
_CONNECT = 30.0


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates of the authorities takes as long as a hundred requests."""
    return httpx.create_ssl_context()


class Connections(httpx.AsyncBaseTransport):
    """At most so many connections at once; whoever uses it limits the time an answer takes. Proxies as the environment
    names them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it and read the answer whole.

        Raises:
            httpx.TransportError: there is no connection, or it ended before the answer did, or that is not HTTP.
            httpx.DecodingError: the body is not compressed as it says.
        """
        content = await request.aread()
        try:
            async with self._opened().request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=content or None,
                ssl=_tls() if request.url.scheme == "https" else True,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        # What a server said is not repeated: it may hold anything.
        except aiohttp.ServerTimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, UnicodeError) as error:
            raise httpx.ConnectError("no connection") from error
        except aiohttp.ClientConnectionError as error:
            raise httpx.ReadError("the connection ended before the answer did") from error
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError("what came is not HTTP, or not all of it") from error
        return httpx.Response(answer.status, headers=answer.raw_headers, content=body, request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        # A session belongs to the loop that it is made in.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._most, keepalive_timeout=_KEEP),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
                cookie_jar=aiohttp.DummyCookieJar(),  # cookies and compression are httpx's work
                auto_decompress=False,
                trust_env=bool(getproxies()),  # looked up for every request, which costs as much as the request
            )
        return self._session


def open_http(connections: int) -> httpx.AsyncClient:
    """A client that can be shared. The time for an answer is limited elsewhere, as a whole."""
    transport = Connections(connections)
    return httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(None), follow_redirects=False)

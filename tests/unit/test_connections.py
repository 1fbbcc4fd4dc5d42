"""The transport under every question to a model: what a server may send, when a connection is used again, and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from review.adapters.chat import connections
from tests.loops import on_its_own_loop

BODY = b'{"said": "good morning"}'
ZIPPED = gzip.compress(BODY)


def whole(body: bytes, *more: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *more, b"", body])


# What a server answers to a path, and whether it hangs up afterwards.
ANSWERS: dict[str, tuple[list[bytes], bool]] = {
    "/whole": ([whole(BODY)], False),
    "/zipped": ([whole(ZIPPED, b"content-encoding: gzip")], False),
    "/chunked": ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n", BODY[:8], b"\r\n10\r\n" + BODY[8:],
                  b"\r\n0\r\n\r\n"], False),
    "/continued": ([b"HTTP/1.1 100 Continue\r\n\r\n", whole(BODY)], False),
    "/until_the_end": ([b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:9], BODY[9:]], True),
    "/close": ([whole(BODY, b"connection: close")], False),
    "/hangs_up": ([whole(BODY)], True),
    "/talks_on": ([whole(BODY) + b"HTTP/1.1 408 Request Timeout\r\n\r\n"], False),
    "/not_zipped": ([whole(BODY, b"content-encoding: gzip")], False),
    "/cut": ([whole(BODY)[:-5]], True),
    "/nothing": ([], True),
    "/never": ([], False),
    "/no_http": ([b"SSH-2.0-OpenSSH_9.6\r\n"], True),
}  # fmt: skip


class Server:
    """Answers by path; counts connections and requests, and keeps the last request's bytes."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.connections = self.requests = 0
        self.last = b""
        self.asked, self.hung_up = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Server:
        self.server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=self.context)
        scheme = "https" if self.context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:")
                self.last = head + await reader.readexactly(length)
                self.requests += 1
                self.asked.set()
                parts, hangs_up = ANSWERS[head.split()[1].decode()]
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                if hangs_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.hung_up.set()


def with_server(work: Callable[[Server, httpx.AsyncClient], Awaitable[None]], most: int = 1) -> None:
    async def main() -> None:
        async with Server() as server, connections.open_http(most) as client:
            await work(server, client)

    on_its_own_loop(main)


@pytest.mark.parametrize(
    "path", ["/whole", "/zipped", "/chunked", "/continued", "/until_the_end", "/close", "/hangs_up", "/talks_on"]
)
def test_an_answer_is_read_however_it_is_sent_and_so_is_the_next(path: str) -> None:
    async def work(server: Server, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            response = await client.post(server.url + path, content=b"question")
            assert (response.status_code, response.content) == (200, BODY)
            assert server.last.endswith(b"\r\n\r\nquestion")
            if ANSWERS[path][1]:
                # A hang-up that has not arrived yet can be noticed by nobody.
                await server.hung_up.wait()
                server.hung_up.clear()
        assert server.requests == 3
        assert server.connections == (1 if path in ("/whole", "/zipped", "/chunked", "/continued") else 3)

    with_server(work)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/not_zipped", httpx.DecodingError),
        ("/cut", httpx.RemoteProtocolError),
        ("/nothing", httpx.TransportError),
        ("/no_http", httpx.RemoteProtocolError),
    ],
)
def test_what_is_no_answer_is_an_error_of_the_connection_and_the_next_request_has_a_new_one(
    path: str, error: type[Exception]
) -> None:
    async def work(server: Server, client: httpx.AsyncClient) -> None:
        with pytest.raises(error) as caught:
            await client.post(server.url + path, content=b"question")
        assert "SSH" not in str(caught.value)
        assert (await client.post(server.url + "/whole", content=b"again")).content == BODY

    with_server(work)


def test_a_request_that_is_given_up_leaves_no_answer_to_the_next() -> None:
    async def work(server: Server, client: httpx.AsyncClient) -> None:
        asked = asyncio.create_task(client.post(server.url + "/never", content=b"question"))
        await server.asked.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert (await client.post(server.url + "/whole", content=b"again")).content == BODY
        assert server.connections == 2

    with_server(work)


def test_as_many_connections_as_are_allowed_and_each_is_used_again() -> None:
    async def work(server: Server, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            every = [client.post(server.url + "/whole", content=b"x" * 1_000_000) for _ in range(7)]
            assert [each.content for each in await asyncio.gather(*every)] == [BODY] * 7
        assert (server.requests, server.connections) == (21, 5)

    with_server(work, most=5)


def test_a_proxy_that_the_environment_names_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> bytes:
        async with Server() as server:
            monkeypatch.setenv("http_proxy", server.url)
            async with connections.open_http(1) as client:
                answer = await client.post("http://model.invalid/v1", content=b"question")
            assert server.last.startswith(b"POST http://model.invalid/v1 HTTP/1.1")
            return answer.content

    monkeypatch.setitem(ANSWERS, "http://model.invalid/v1", ANSWERS["/whole"])
    assert on_its_own_loop(main) == BODY


def test_nobody_there_and_a_name_that_cannot_be_one_are_errors_of_the_connection() -> None:
    async def main() -> None:
        async with Server() as server:
            address = server.url
        async with connections.open_http(1) as client:
            for url in (address, "http://" + "a" * 70 + ".invalid"):
                with pytest.raises(httpx.ConnectError):
                    await client.post(url, content=b"question")

    on_its_own_loop(main)


def test_tls_answers_where_the_certificate_is_trusted_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)

    async def main(url: str = "/whole") -> tuple[bytes, int]:
        async with Server(context) as server, connections.open_http(1) as client:
            answers = [(await client.post(server.url + url, content=b"question")).content for _ in range(2)]
            return b"".join(answers), server.connections

    connections._tls.cache_clear()  # it is read once a process, and here it differs
    try:
        with pytest.raises(httpx.ConnectError):
            on_its_own_loop(main)
        connections._tls.cache_clear()
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
        assert on_its_own_loop(main) == (BODY * 2, 1)
    finally:
        connections._tls.cache_clear()


def certificate(folder: Path) -> Path:
    """A key and a certificate of its own for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "chain.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    return file

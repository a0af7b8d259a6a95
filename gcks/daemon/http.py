"""The /metrics page, on the event loop: no second thread looks at the engine's state."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry

from gcks.daemon.exposition import Exposition
from gcks.datagrams import Endpoint
from gcks.errors import LocalError

_MAX_REQUEST_OCTETS: Final = 8192
_REQUEST_SECONDS: Final = 5.0
_MAX_READERS: Final = 16
_METRICS: Final = b"/metrics"
_METHODS: Final = (b"GET", b"HEAD")


async def serve_metrics(endpoint: Endpoint, registry: CollectorRegistry) -> asyncio.Server:
    """Listen on `endpoint`.  Raises `LocalError` naming it."""
    exposition = Exposition(registry)
    readers: dict[asyncio.StreamWriter, None] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(readers) >= _MAX_READERS:  # the oldest makes room: it has had its time
            oldest = next(iter(readers))
            del readers[oldest]
            oldest.transport.abort()
        readers[writer] = None
        # Wait until all has gone: what a reader doesn't take must not pile up here.
        writer.transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _respond(head, exposition))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            writer.transport.abort()
        finally:
            readers.pop(writer, None)
            writer.close()

    try:
        return await asyncio.start_server(
            handle, endpoint.host, endpoint.port, limit=_MAX_REQUEST_OCTETS
        )
    except OSError as error:
        raise LocalError(
            f"can't serve metrics on TCP {endpoint}: {error.strerror or error}; "
            "free the port or change metrics.listen"
        ) from None


async def _respond(head: bytes, exposition: Exposition) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in _METHODS or path != _METRICS:
        return b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    body = await exposition.render()
    header = (
        f"HTTP/1.0 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    return header if method == b"HEAD" else header + body

"""`make streams`: ten thousand streams open at once, what each costs the gateway in memory, and that each ends well.

The provider is a simulator in a process of its own, which takes seconds between two events. Once every caller has its
first text the gateway is asked how many requests are under way, and its resident memory is read; then each stream must
end whole, and be in the ledger. This is done twice: each caller has a connection of HTTP/1.1 of its own, or shares one
of HTTP/2 with others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import gateway_process as gp  # noqa: E402
from h2.config import H2Configuration  # noqa: E402
from h2.connection import H2Connection  # noqa: E402
from h2.events import DataReceived, StreamEnded, StreamReset  # noqa: E402
from soak import resident_mb  # noqa: E402

SPARE_FILES = 120
AT_ONCE = 64
# As many as the gateway allows.
STREAMS_A_CONNECTION = 200
BODY = json.dumps({"model": "openai/gpt-4o", "input": "say exactly: one two three four five six", "stream": True})
BEGUN = b"response.output_text.delta"
COMPLETED = b"event: response.completed"


def most_streams(wanted: int, files_a_stream: int) -> int:
    """Lets this process and its children open the files that so many streams need; fewer streams where it may not."""
    needed = wanted * files_a_stream + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    if hard >= needed:
        return wanted
    possible = (hard - SPARE_FILES) // files_a_stream
    print(f"this machine lets a process have {hard:,} files, which is enough for {possible:,} streams", file=sys.stderr)
    return possible


class Caller(Protocol):
    """A stream that is open: its first text has come."""

    async def end(self) -> bool:
        """Reads to the end; whether the response was completed."""


class Http1Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
        self.reader, self.writer, self.text = reader, writer, first

    async def end(self) -> bool:
        tail = self.text
        while more := await self.reader.read(65_536):
            tail = (tail + more)[-65_536:]
        self.writer.close()
        return COMPLETED in tail


async def open_http1(gateway: gp.Gateway, gate: asyncio.Semaphore) -> Caller:
    host, port = gateway.url.removeprefix("http://").split(":")
    async with gate:
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /v1/responses HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {gateway.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\nconnection: close\r\n\r\n"
        )
        writer.write((head + BODY).encode())
        await writer.drain()
    text = b""
    while BEGUN not in text:
        more = await reader.read(65_536)
        if not more:
            raise RuntimeError(f"the stream ended early: {text.decode(errors='replace')[:500]}")
        text += more
    return Http1Caller(reader, writer, text)


async def all_http1(gateway: gp.Gateway, count: int) -> list[Caller]:
    gate = asyncio.Semaphore(AT_ONCE)
    return await asyncio.gather(*(open_http1(gateway, gate) for _ in range(count)))


class Http2Caller:
    def __init__(self) -> None:
        self.text = b""
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    def reads(self, text: bytes) -> None:
        self.text = (self.text + text)[-65_536:]
        if BEGUN in self.text:
            self.begun.set()

    def ends(self) -> None:
        self.begun.set()
        self.ended.set()

    @property
    def is_open(self) -> bool:
        return not self.ended.is_set()

    async def end(self) -> bool:
        await self.ended.wait()
        return COMPLETED in self.text


class Http2Connection(asyncio.Protocol):
    """A connection to the gateway, and the callers that share it."""

    def __init__(self) -> None:
        self.http2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.callers: dict[int, Http2Caller] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.http2.initiate_connection()
        self.transport.write(self.http2.data_to_send())

    def ask(self, gateway: gp.Gateway) -> Http2Caller:
        stream, caller = self.http2.get_next_available_stream_id(), Http2Caller()
        self.callers[stream] = caller
        head = {":method": "POST", ":path": "/v1/responses", ":scheme": "http", ":authority": "gateway",
                "authorization": f"Bearer {gateway.key}", "content-type": "application/json"}  # fmt: skip
        self.http2.send_headers(stream, list(head.items()))
        self.http2.send_data(stream, BODY.encode(), end_stream=True)
        self.transport.write(self.http2.data_to_send())
        return caller

    def data_received(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            if isinstance(event, DataReceived):
                self.callers[event.stream_id].reads(event.data)
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded | StreamReset):
                self.callers[event.stream_id].ends()
        self.transport.write(self.http2.data_to_send())
        if self.callers and not any(caller.is_open for caller in self.callers.values()):
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        for caller in self.callers.values():
            caller.ends()


async def all_http2(gateway: gp.Gateway, count: int) -> list[Caller]:
    host, port = gateway.url.removeprefix("http://").split(":")
    callers: list[Http2Caller] = []
    for first in range(0, count, STREAMS_A_CONNECTION):
        _, connection = await asyncio.get_running_loop().create_connection(Http2Connection, host, int(port))
        callers += [connection.ask(gateway) for _ in range(first, min(first + STREAMS_A_CONNECTION, count))]
    for caller in callers:
        await caller.begun.wait()
        if caller.ended.is_set():
            raise RuntimeError(f"the stream ended early: {caller.text.decode(errors='replace')[:500]}")
    return list(callers)


@dataclass
class Way:
    """How the callers come, and how many files of the gateway's a stream takes."""

    name: str
    open_all: Callable[[gp.Gateway, int], Awaitable[list[Caller]]]
    files_a_stream: int


# The provider's connection is the one file that every stream takes.
WAYS = {"http1": Way("HTTP/1.1", all_http1, 2), "http2": Way("HTTP/2", all_http2, 1)}


def under_way(gateway: gp.Gateway) -> int:
    with gateway.http() as client:
        found = re.search(r"^tokenrouter_requests_in_flight (\d+)", client.get("/metrics").text, re.MULTILINE)
    assert found, "the gateway tells how many requests are under way"
    return int(found.group(1))


async def run(gateway: gp.Gateway, way: Way, count: int) -> tuple[float, float, float, int, int]:
    """Megabytes before and with all streams open, seconds to open them, how many were open, how many were completed."""
    before = resident_mb(gateway)
    start = time.monotonic()
    callers = await way.open_all(gateway, count)
    took = time.monotonic() - start
    open_ = under_way(gateway)
    with_all = resident_mb(gateway)
    ended = await asyncio.gather(*(caller.end() for caller in callers))
    return before, with_all, took, open_, sum(ended)


def measure(way: Way, wanted: int, drip_ms: int) -> bool:
    """Whether all streams were open at once, were completed and are in the ledger."""
    wanted = most_streams(wanted, way.files_a_stream)
    simulator = gp.start_simulator()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "settings.toml"
        config.write_text(gp.provider_settings("openai", "openai", f"{simulator.url}/openai/v1"))
        environment = {
            "SIMULATED_KEY": gp.SIMULATED_KEY,
            "TOKENROUTER_LOG__LEVEL": "warn",
        }
        gateway = gp.start_gateway(Path(folder) / "tokenrouter.db", simulate=False, config=config, environment=environment)
        simulator.fault(count=wanted, drip_ms=drip_ms)
        before, with_all, took, open_, completed = asyncio.run(run(gateway, way, wanted))
        with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
            recorded, requests = connection.execute(
                "SELECT count(*), count(DISTINCT request_id) FROM ledger WHERE outcome = 'completed'"
            ).fetchone()
        kib = (with_all - before) * 1024 / wanted
        print(f"callers over {way.name}: {open_:,} streams open at once, opened in {took:.1f} s: resident {before:.0f} MB "
              f"before, {with_all:.0f} MB with them: {kib:.1f} KiB a stream")  # fmt: skip
        print(f"{completed:,} completed, {recorded:,} in the ledger; gateway ended with {gateway.stop()}", flush=True)
    assert simulator.process is not None
    simulator.process.stop()
    return open_ == completed == recorded == requests == wanted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--callers", choices=WAYS, help="how they come; both ways, unless this says one")
    parser.add_argument("--drip-ms", type=int, default=6_000, help="how long the provider waits before each event")
    given = parser.parse_args()
    ways = [WAYS[given.callers]] if given.callers else WAYS.values()
    return 0 if all([measure(way, given.streams, given.drip_ms) for way in ways]) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""`make streams`: ten thousand streams open at once, what each costs the gateway in memory, and that each ends well.

The provider is a simulator in a process of its own, which takes seconds between two events. Once every caller has its
first text the gateway is asked how many requests are under way, and its resident memory is read; then each stream must
end whole, and be in the ledger.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import gateway_process as gp  # noqa: E402
from soak import resident_mb  # noqa: E402

# A stream takes two of the gateway's: the caller's connection and the provider's.
FILES_A_STREAM = 2
SPARE_FILES = 60
AT_ONCE = 64


def most_streams(wanted: int) -> int:
    """Lets this process and its children open the files that so many streams need; fewer streams where it may not."""
    needed = wanted * FILES_A_STREAM + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    if hard >= needed:
        return wanted
    possible = (hard - SPARE_FILES) // FILES_A_STREAM
    print(f"this machine lets a process have {hard:,} files, which is enough for {possible:,} streams", file=sys.stderr)
    return possible


class Caller:
    """A stream that is open: its first event has come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
        self.reader, self.writer, self.text = reader, writer, first

    async def end(self) -> bool:
        """Reads to the end; whether the response was completed."""
        tail = self.text
        while more := await self.reader.read(65_536):
            tail = (tail + more)[-65_536:]
        self.writer.close()
        return b"event: response.completed" in tail


async def open_stream(gateway: gp.Gateway, gate: asyncio.Semaphore, body: bytes) -> Caller:
    host, port = gateway.url.removeprefix("http://").split(":")
    async with gate:
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /v1/responses HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {gateway.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
    text = b""
    while b"response.output_text.delta" not in text:
        more = await reader.read(65_536)
        if not more:
            raise RuntimeError(f"the stream ended early: {text.decode(errors='replace')[:500]}")
        text += more
    return Caller(reader, writer, text)


def under_way(gateway: gp.Gateway) -> int:
    with gateway.http() as client:
        found = re.search(r"^tokenrouter_requests_in_flight (\d+)", client.get("/metrics").text, re.MULTILINE)
    assert found, "the gateway tells how many requests are under way"
    return int(found.group(1))


async def run(gateway: gp.Gateway, count: int) -> tuple[float, float, float, int, int]:
    """Megabytes before and with all streams open, seconds to open them, how many were open, how many were completed."""
    body = json.dumps({"model": "openai/gpt-4o", "input": "say exactly: one two three four five six", "stream": True})
    gate = asyncio.Semaphore(AT_ONCE)
    before = resident_mb(gateway)
    start = time.monotonic()
    callers = await asyncio.gather(*(open_stream(gateway, gate, body.encode()) for _ in range(count)))
    took = time.monotonic() - start
    open_ = under_way(gateway)
    with_all = resident_mb(gateway)
    ended = await asyncio.gather(*(caller.end() for caller in callers))
    return before, with_all, took, open_, sum(ended)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--drip-ms", type=int, default=6_000, help="how long the provider waits before each event")
    given = parser.parse_args()
    wanted = most_streams(given.streams)
    simulator = gp.start_simulator()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "settings.toml"
        config.write_text(gp.provider_settings("openai", "openai", f"{simulator.url}/openai/v1"))
        environment = {
            "SIMULATED_KEY": gp.SIMULATED_KEY,
            "TOKENROUTER_LOG__LEVEL": "warn",
        }
        gateway = gp.start_gateway(Path(folder) / "tokenrouter.db", simulate=False, config=config, environment=environment)
        simulator.fault(count=wanted, drip_ms=given.drip_ms)
        before, with_all, took, open_, completed = asyncio.run(run(gateway, wanted))
        with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
            (recorded,) = connection.execute("SELECT count(*) FROM ledger WHERE outcome = 'completed'").fetchone()
        kib = (with_all - before) * 1024 / wanted
        print(f"{open_:,} streams open at once, opened in {took:.1f} s: resident {before:.0f} MB before, "
              f"{with_all:.0f} MB with them: {kib:.1f} KiB a stream")  # fmt: skip
        print(f"{completed:,} completed, {recorded:,} in the ledger; gateway ended with {gateway.stop()}")
    assert simulator.process is not None
    simulator.process.stop()
    return 0 if open_ == completed == recorded == wanted else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""`make soak`: mixed traffic over mixed faults for a while; then nothing may be missing, held or grown.

Counts what callers saw and compares it with the ledger, asks at the end for as many streams at once as the
gateway takes, and watches its resident memory.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import gateway_process as gp  # noqa: E402
import httpx  # noqa: E402

CALLERS = 16
PLACES = 32
MODELS = ["auto", "auto:cost", "openai/gpt-4o", "mistral/mistral-large-latest", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"]
FAULTS: list[dict[str, Any]] = [
    {"status": 500}, {"status": 429, "retry_after": 1}, {"status": 401}, {"reset": True}, {"garbage": True},
    {"cut_after_bytes": 300}, {"cut_after_bytes": 900}, {"drip_ms": 20}, {"delay_ms": 300}, {"hang": True},
    {"error_event": True},
]  # fmt: skip
GROWTH = 0.35


class Callers:
    def __init__(self, gateway: gp.Gateway) -> None:
        self.gateway = gateway
        self.ids: set[str] = set()
        self.counts: dict[str, int] = {}
        self.unexpected: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        with self.gateway.http(timeout=10) as client:
            while not self._stop.is_set():
                self._ask(client, chance)

    def _ask(self, client: httpx.Client, chance: random.Random) -> None:
        body: dict[str, Any] = {"model": chance.choice(MODELS), "stream": chance.random() < 0.5}
        text = f"Hello {chance.random()}"
        path = chance.choice(["/v1/responses", "/v1/chat/completions", "/v1/messages"])
        if path == "/v1/responses":
            body |= {"input": text, "store": chance.random() < 0.2}
        else:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 64}
        leaves = chance.random() < 0.1
        word = "transport"
        try:
            with client.stream("POST", path, json=body) as answer:
                # A request that was shed or not read was none.
                if answer.status_code != 503 or "x-tokenrouter-provider" in answer.headers:
                    with self._lock:
                        self.ids.add(answer.headers["x-request-id"])
                word = str(answer.status_code)
                for _ in answer.iter_bytes():
                    if leaves:
                        word = "left"
                        break
        except httpx.TransportError:
            pass
        with self._lock:
            self.counts[word] = self.counts.get(word, 0) + 1
            if word not in ("200", "429", "502", "503", "504", "left"):
                self.unexpected.append(f"{path}: {word}")


def resident_mb(gateway: gp.Gateway) -> float:
    status = Path(f"/proc/{gateway.process.child.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "TOKENROUTER_SERVER__MAX_IN_FLIGHT": str(PLACES),
            "TOKENROUTER_UPSTREAM__FIRST_EVENT_TIMEOUT_MS": "1000",
            "TOKENROUTER_UPSTREAM__BETWEEN_EVENTS_TIMEOUT_MS": "1000",
            "TOKENROUTER_UPSTREAM__BREAKER_OPEN_MS": "500",
            "TOKENROUTER_UPSTREAM__REFUSED_PROVIDER_MS": "500",
            "TOKENROUTER_LOG__LEVEL": "error",
        }
        gateway = gp.start_gateway(Path(folder) / "tokenrouter.db", environment=environment)
        simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
        callers = Callers(gateway)
        chance = random.Random(0)
        end = time.monotonic() + minutes * 60
        memory: list[float] = []
        while time.monotonic() < end:
            provider = chance.choice(["openai", "mistral", "anthropic", "gemini", None])
            simulator.fault(provider=provider, count=chance.randint(1, 20), **chance.choice(FAULTS))
            time.sleep(min(0.5, minutes * 6))
            memory.append(resident_mb(gateway))
        callers.stop()
        simulator.forget()
        problems = list(dict.fromkeys(callers.unexpected))

        def missing() -> set[str]:
            with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
                rows = [row[0] for row in connection.execute("SELECT request_id FROM ledger")]
            if len(rows) != len(set(rows)):
                problems.append("the ledger has a request twice")
            return callers.ids - set(rows)

        try:
            gp.until(lambda: not missing(), "the ledger's entries")
        except AssertionError:
            problems.append(f"{len(missing())} requests are not in the ledger")
        with gateway.http() as client, ExitStack() as streams:
            simulator.fault(count=PLACES, drip_ms=50)
            body = {"model": "openai/gpt-4o", "input": "Hello", "stream": True}
            answers = [streams.enter_context(client.stream("POST", "/v1/responses", json=body)) for _ in range(PLACES)]
            if any(answer.status_code != 200 for answer in answers):
                problems.append("places are held by nobody")
        # The first fifth is for caches to fill.
        third = max(1, len(memory) // 3)
        early, late = max(memory[third // 2 : third + 1]), max(memory[-third:])
        if late > early * (1 + GROWTH):
            problems.append(f"memory grew from {early:.0f} to {late:.0f} MB")
        total = sum(callers.counts.values())
        print(f"{minutes:g} minutes, {total:,} requests: " + ", ".join(f"{n:,} × {w}" for w, n in sorted(callers.counts.items())))
        print(f"{len(callers.ids):,} known to callers, {len(missing())} of them not in the ledger; "
              f"resident {early:.0f} MB early, {late:.0f} MB late; all {PLACES} places free at the end")  # fmt: skip
        code = gateway.stop()
        if code != 0:
            problems.append(f"the gateway ended with {code}")
    for problem in problems:
        print("problem:", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What the gateway costs beside nginx proxying the same upstream, in one run (`make bench`).

The load generator and the upstream (the simulator) share one core; what is measured has another for itself.
Plain answers come at once; the events of streams one by one, a millisecond apart, as a model's do.
CPU time is what the kernel counted for the process under test, its children included; it moves little with the
machine, requests per second and latencies much: look at the ratios. Writes a table to standard output, and
the figures as JSON to the file that `--json` names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GATEWAY = ROOT / "target" / "release" / "tokenrouter"
LOAD = ROOT / "target" / "release" / "tokenrouter-load"
KEY = "tr_bench_0123456789abcdef"
PROVIDER_KEY = "sk-bench"
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SIDE_CORE, TESTED_CORE = 0, (os.cpu_count() or 1) - 1
RULES = 100

# Some 600 bytes, as a chat's turn is.
PROMPT = "Summarise for a colleague what a proxy does. " + "It takes a request and gives it on. " * 13


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass
class Under:
    """A process under test."""

    name: str
    process: subprocess.Popen[bytes]
    plain: str
    stream: str
    headers: dict[str, str]
    model: str
    stream_model: str
    started_in_ms: float = 0.0

    def _tree(self) -> Iterator[int]:
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]

    def cpu_us(self) -> float:
        total = 0
        for pid in self._tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total * 1e6 / TICK

    def resident_mb(self) -> float:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._tree())
        return pages * PAGE / 1e6

    def body(self, stream: bool, **more: Any) -> str:
        body: dict[str, Any] = {"model": self.model, "input": PROMPT} | more
        if stream:
            # Sixteen words: some twenty events.
            body["input"] = "say exactly: " + "one two three four five six seven eight " * 2
            body |= {"stream": True, "model": self.stream_model}
        return json.dumps(body)


def on_core(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


def load(target: Under, *, stream: bool, requests: int, connections: int, rate: float | None = None, **more: Any) -> dict[str, Any]:
    plan: dict[str, Any] = {
        "url": target.stream if stream else target.plain,
        "headers": target.headers,
        "body": target.body(stream, **more),
        "connections": connections,
        "requests": requests,
        "rate": rate,
        "first_text": "response.output_text.delta" if stream else None,
    }
    ended = subprocess.run(on_core(SIDE_CORE, str(LOAD), json.dumps(plan)), check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(ended.stdout)
    if result["failed"]:
        raise RuntimeError(f"{target.name}: {result['failed']} requests failed")
    return result


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(5000):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended")
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.002)
    raise RuntimeError(f"nothing answers at {url}")


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def simulator(delay_ms: int) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(GATEWAY), "simulator", "--listen", f"127.0.0.1:{port}", "--token-delay-ms", str(delay_ms)]
    with running(on_core(SIDE_CORE, *command), stderr=subprocess.DEVNULL) as process:
        wait_for(f"{url}/_simulator/faults", process)
        yield url


@contextmanager
def direct(upstream: str, drip: str) -> Iterator[Under]:
    """The upstream itself, for latencies."""
    plain, stream = f"{upstream}/openai/v1/responses", f"{drip}/openai/v1/responses"
    with running(["sleep", "86400"]) as nothing:
        headers = {"authorization": f"Bearer {PROVIDER_KEY}"}
        yield Under("upstream alone", nothing, plain, stream, headers, "gpt-4o", "gpt-4o")


@contextmanager
def nginx(upstream: str, drip: str, folder: Path) -> Iterator[Under]:
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        raise RuntimeError("nginx is not installed")
    port = free_port()
    host, drip_host = upstream.removeprefix("http://"), drip.removeprefix("http://")
    (folder / "nginx.conf").write_text(
        f"""
        worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            keepalive_requests 10000000;
            upstream simulator {{ server {host}; keepalive 128; keepalive_requests 10000000; }}
            upstream drip {{ server {drip_host}; keepalive 128; keepalive_requests 10000000; }}
            server {{
                listen 127.0.0.1:{port} backlog=1024;
                proxy_http_version 1.1; proxy_set_header Connection "";
                location /plain {{ proxy_pass http://simulator/openai/v1/responses; }}
                location /stream {{ proxy_buffering off; proxy_pass http://drip/openai/v1/responses; }}
            }}
        }}
        """
    )
    url = f"http://127.0.0.1:{port}"
    command = on_core(TESTED_CORE, program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"))
    began = time.monotonic()
    with running(command, stderr=subprocess.DEVNULL) as process:
        wait_for(f"{url}/", process)
        started = (time.monotonic() - began) * 1e3
        headers = {"authorization": f"Bearer {PROVIDER_KEY}"}
        yield Under("nginx", process, f"{url}/plain", f"{url}/stream", headers, "gpt-4o", "gpt-4o", started)


@contextmanager
def gateway(upstream: str, drip: str, folder: Path, rules: int) -> Iterator[Under]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "bench.toml").write_text(
        "".join(
            f"""
[[providers]]
name = "{name}"
kind = "openai"
base_url = "{address}/openai/v1"
api_key = "env:BENCH_PROVIDER_KEY"
"""
            for name, address in (("openai", upstream), ("drip", drip))
        )
    )
    database = folder / f"rules-{rules}.db"
    command = on_core(
        TESTED_CORE, str(GATEWAY), "serve", "--listen", f"127.0.0.1:{port}", "--database", f"sqlite:{database}",
        "--config", str(folder / "bench.toml"),
    )  # fmt: skip
    environment = os.environ | {"TOKENROUTER_BOOTSTRAP_KEY": KEY, "BENCH_PROVIDER_KEY": PROVIDER_KEY}
    began = time.monotonic()
    with running(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_for(f"{url}/readyz", process)
        started = (time.monotonic() - began) * 1e3
        for number in range(rules):
            post(url, "/v1/routing-rules", {
                "name": f"Routing {number}", "priority": number,
                "match_json": {"contains": f"needle number {number}", "mode": "quality"},
                "action_json": {"set_mode": "cost"},
            })  # fmt: skip
            scope = "prompt" if number % 2 else "response"
            kind, pattern = ("substring", f"forbidden word {number}") if number % 4 < 2 else ("regex", rf"\bACC{number}-\d{{4}}-\d{{4}}\b")
            post(url, "/v1/firewall-rules", {
                "name": f"Firewall {number}", "priority": number, "scope": scope, "type": kind, "pattern": pattern,
                "action": ("block", "mask", "warn")[number % 3],
            })  # fmt: skip
        name = f"gateway, {rules} rules of each kind"
        target = f"{url}/v1/responses"
        headers = {"authorization": f"Bearer {KEY}"}
        yield Under(name, process, target, target, headers, "openai/gpt-4o", "drip/gpt-4o", started)


def post(url: str, path: str, body: dict[str, Any]) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read()


@dataclass
class Row:
    name: str
    figures: dict[str, float] = field(default_factory=dict[str, float])


def measure(target: Under, requests: int, seconds: int, repeats: int) -> Row:
    row = Row(target.name, {"start_ms": target.started_in_ms, "idle_mb": target.resident_mb()})
    nothing = target.name == "upstream alone"
    cases: list[tuple[str, bool, dict[str, Any]]] = [("plain", False, {}), ("stream", True, {})]
    if "gateway" in target.name:
        cases.append(("unstored", False, {"store": False}))
    if not nothing:
        for case, stream, more in cases:
            load(target, stream=stream, requests=requests // 10, connections=64, **more)
            costs, speeds = [], []
            for _ in range(repeats):
                before = target.cpu_us()
                count = requests // 4 if stream else requests
                result = load(target, stream=stream, requests=count, connections=64, **more)
                costs.append((target.cpu_us() - before) / result["requests"])
                speeds.append(result["requests"] / result["seconds"])
            row.figures |= {f"{case}_cpu_us": min(costs), f"{case}_per_s": max(speeds)}
    load(target, stream=False, requests=200, connections=4, rate=200)
    calm = load(target, stream=False, requests=200 * seconds, connections=4, rate=200)
    streams = load(target, stream=True, requests=100 * seconds, connections=4, rate=100)
    row.figures |= {
        "p50_us": calm["whole_us"]["p50"], "p99_us": calm["whole_us"]["p99"],
        "first_p50_us": streams["first_us"]["p50"], "first_p99_us": streams["first_us"]["p99"],
    }  # fmt: skip
    return row


def memory(target: Under, requests: int) -> list[tuple[int, float]]:
    points = [(0, target.resident_mb())]
    for part in range(10):
        load(target, stream=bool(part % 2), requests=requests // 10, connections=64)
        points.append(((part + 1) * (requests // 10), target.resident_mb()))
    return points


def table(rows: list[Row], points: list[tuple[int, float]]) -> str:
    alone, beside = rows[0], rows[1]
    lines = [
        "| | CPU µs a plain request | of nginx's | plain requests a second | CPU µs a stream | of nginx's | added p50 | added p99 "
        "| first text, added p50 | added p99 | idle MB | start to ready ms |",
        "| --- " * 12 + "|",
    ]
    for row in rows[1:]:
        f = row.figures

        def added(name: str, f: dict[str, float] = f) -> str:
            return f"{f[name] - alone.figures[name]:+.0f} µs"

        def ratio(name: str, f: dict[str, float] = f) -> str:
            return f"{f[name] / beside.figures[name]:.1f}"

        lines.append(
            f"| {row.name} | {f['plain_cpu_us']:.0f} | {ratio('plain_cpu_us')} | {f['plain_per_s']:,.0f} "
            f"| {f['stream_cpu_us']:.0f} | {ratio('stream_cpu_us')} | {added('p50_us')} | {added('p99_us')} "
            f"| {added('first_p50_us')} | {added('first_p99_us')} | {f['idle_mb']:.0f} | {f['start_ms']:.0f} |"
        )
    lines.append("")
    for row in rows[2:]:
        cost = row.figures["unstored_cpu_us"]
        lines.append(f"With `store: false`, {row.name}: {cost:.0f} µs, {cost / beside.figures['plain_cpu_us']:.1f} of nginx's.")
    lines.append("")
    lines.append("Resident memory of the gateway, by requests served (plain and streamed in turn): ")
    lines.append(", ".join(f"{count:,}: {mb:.1f} MB" for count, mb in points) + ".")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="in each closed loop")
    parser.add_argument("--repeats", type=int, default=3, help="of each closed loop; the best counts")
    parser.add_argument("--seconds", type=int, default=10, help="at a fixed rate, for the latencies")
    parser.add_argument("--memory-requests", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    points: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as name, simulator(0) as upstream, simulator(1) as drip:
        folder = Path(name)
        measured = (options.requests, options.seconds, options.repeats)
        with direct(upstream, drip) as target:
            rows.append(measure(target, *measured))
        with nginx(upstream, drip, folder) as target:
            rows.append(measure(target, *measured))
        for rules in (0, RULES):
            with gateway(upstream, drip, folder, rules) as target:
                rows.append(measure(target, *measured))
                if rules and options.memory_requests:
                    points = memory(target, options.memory_requests)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}"
    print(f"{time.strftime('%Y-%m-%d')}, {machine}; bodies of {len(PROMPT)} bytes, 64 connections\n")
    print(table(rows, points))
    if options.json:
        figures = {row.name: row.figures for row in rows} | {"memory_mb": dict(points)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

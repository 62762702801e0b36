"""The real binary as a child process: started on port 0, stopped by a signal to its own process alone."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
# Beside the project, not in it: the seed document and the Open Responses schema.
SHARED = Path(os.environ.get("TOKENROUTER_SHARED", ROOT.parent / "shared"))
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 30.0


def binary() -> Path:
    """The gateway under test: `TOKENROUTER_BIN`, or the newest that cargo has built."""
    given = os.environ.get("TOKENROUTER_BIN")
    if given:
        return Path(given).resolve()
    built = [ROOT / "target" / profile / "tokenrouter" for profile in ("ci", "debug", "release")]
    there = [path for path in built if path.exists()]
    if not there:
        raise RuntimeError("there is no gateway to test: run `make build-ci`, or set TOKENROUTER_BIN")
    return max(there, key=lambda path: path.stat().st_mtime)


def scrubbed_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without anybody's keys, hosts, proxies or settings."""
    foreign = re.compile(r"TOKENROUTER_|.*_API_KEY$|.*_BASE_URL$|(?i:https?_proxy$|all_proxy$|no_proxy$)|RUST_LOG$")
    kept = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    return kept | dict(extra)


class Process:
    """A command of the binary that goes on running, and what it has said on standard error."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.child = subprocess.Popen(
            [str(binary()), *arguments],
            env=scrubbed_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said = threading.Condition()
        self._errors: list[str] = []
        self._output: list[str] = []
        self._open = 2
        for stream, lines in ((self.child.stderr, self._errors), (self.child.stdout, self._output)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self._said:
                lines.append(line)
                self._said.notify_all()
        with self._said:
            self._open -= 1
            self._said.notify_all()

    @property
    def stderr(self) -> str:
        with self._said:
            return "".join(self._errors)

    @property
    def stdout(self) -> str:
        with self._said:
            return "".join(self._output)

    def wait_for(self, pattern: str) -> str:
        """The first group of `pattern` in what the process says; fails if it ends before."""
        found: list[str] = []

        def said() -> bool:
            match = re.search(pattern, "".join(self._errors))
            if match:
                found.append(match.group(1))
            return bool(match) or self._open == 0

        with self._said:
            self._said.wait_for(said, timeout=START_TIMEOUT_S)
        if not found:
            self.kill()
            raise RuntimeError(f"the process never said {pattern!r}; it said:\n{self.stderr}{self.stdout}")
        return found[0]

    def terminate(self) -> None:
        self.child.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = STOP_TIMEOUT_S) -> int:
        code = self.child.wait(timeout)
        with self._said:
            self._said.wait_for(lambda: self._open == 0, timeout=5)
        return code

    def stop(self) -> int:
        """Asks the process to end, and gives its exit code."""
        if self.child.poll() is None:
            self.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(STOP_TIMEOUT_S)


class Simulator:
    """Steers a simulator, and reads back what it was sent."""

    def __init__(self, url: str, process: Process | None = None) -> None:
        self.url = url
        self.process = process
        self._http = httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=False)

    def fault(self, **fault: Any) -> None:
        answer = self._http.post("/_simulator/faults", json=fault)
        assert answer.status_code < 300, answer.text

    def forget(self) -> None:
        """Takes back every fault that has not happened, and forgets what was sent."""
        for path in ("/_simulator/faults", "/_simulator/requests"):
            answer = self._http.delete(path)
            assert answer.status_code < 300, answer.text

    def requests(self, containing: str = "") -> list[dict[str, Any]]:
        """What providers were sent, oldest first; only requests whose body has `containing`."""
        answer = self._http.get("/_simulator/requests")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        sent = body if isinstance(body, list) else body.get("requests", body.get("data"))
        return [request for request in sent if containing in str(request.get("body"))]


class Gateway:
    """A running gateway, and the key that its first start was given."""

    def __init__(self, process: Process, url: str, key: str, database: Path) -> None:
        self.process = process
        self.url = url
        self.key = key
        self.database = database

    def http(self, key: str | None = None, timeout: float = REQUEST_TIMEOUT_S) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def new_workspace(self) -> str:
        """A key of a workspace that nobody else uses, made by the command line while the gateway runs."""
        name = f"workspace-{secrets.token_hex(6)}"
        made = run("keys", "create", "--workspace", name, "--database", f"sqlite:{self.database}")
        assert made.returncode == 0, made.stderr
        key = re.search(r"tr_\S+", made.stdout)
        assert key, made.stdout + made.stderr
        return key.group(0).strip("\"',")

    def stop(self) -> int:
        return self.process.stop()


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    """A command of the binary that ends by itself."""
    return subprocess.run(
        [str(binary()), *arguments],
        env=scrubbed_environment(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_simulator() -> Simulator:
    process = Process(["simulator", "--listen", "127.0.0.1:0"], {})
    return Simulator(process.wait_for(r"(http://127\.0\.0\.1:\d+)"), process)


def start_gateway(
    database: Path,
    *,
    simulate: bool = True,
    config: Path | None = None,
    listen: str = "127.0.0.1:0",
    environment: Mapping[str, str] | None = None,
) -> Gateway:
    """Starts a gateway and returns when it listens."""
    key = f"tr_test_{secrets.token_hex(16)}"
    given = {"TOKENROUTER_BOOTSTRAP_KEY": key, **(environment or {})}
    arguments = ["serve", "--listen", listen, "--database", f"sqlite:{database}"]
    if simulate:
        arguments.append("--simulate")
    if config is not None:
        arguments += ["--config", str(config)]
    process = Process(arguments, given)
    url = process.wait_for(r"listening on (http://127\.0\.0\.1:\d+)")
    return Gateway(process, url, given["TOKENROUTER_BOOTSTRAP_KEY"], database)


SIMULATED_KEY = "sk-simulated-0123456789"


def provider_settings(name: str, kind: str, base_url: str) -> str:
    """An entry of the settings, whose key the environment has as SIMULATED_KEY."""
    return f'''
[[providers]]
name = "{name}"
kind = "{kind}"
base_url = "{base_url}"
api_key = "env:SIMULATED_KEY"
'''


def until(true: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
    """Waits for something that another process does and tells nobody of, looking often."""
    end = time.monotonic() + timeout
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {timeout} s")
        time.sleep(0.005)

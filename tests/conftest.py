"""What the black-box tests share: one gateway over the simulator, and the means to start more."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

# The SDK as it is in the work tree; `test_wheel.py` has the one that is installed.
sys.path.insert(0, str(gp.ROOT / "python"))

# The product's seed document and the Open Responses schema lie beside the project, not in it. Where
# they are missing, on somebody's own machine, the tests that read them are left out by name; CI has
# them, and fails without.
collect_ignore: list[str] = []
if not gp.SHARED.exists() and not os.environ.get("CI"):
    collect_ignore = [
        "test_seed.py", "test_schema.py", "test_firewall_evasion.py", "test_conformance.py", "test_openapi.py",
    ]  # fmt: skip


def pytest_report_header() -> list[str]:
    lines = [f"gateway: {gp.binary()}"]
    if collect_ignore:
        lines.append(f"left out, for want of {gp.SHARED}: {', '.join(collect_ignore)}")
    return lines


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gp.Gateway]:
    """A gateway with the simulator in every provider's place. Tests that make rules use `workspace`."""
    running = gp.start_gateway(tmp_path_factory.mktemp("gateway") / "tokenrouter.db")
    yield running
    assert running.stop() == 0, running.process.stderr


@pytest.fixture(scope="session")
def simulator(gateway: gp.Gateway) -> gp.Simulator:
    """The simulator inside `gateway`'s process. Its faults are for the tests with gateways of their own."""
    return gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))


@pytest.fixture
def workspace(gateway: gp.Gateway) -> str:
    """The key of a workspace of the test's own, without rules."""
    return gateway.new_workspace()


@pytest.fixture
def api(gateway: gp.Gateway, workspace: str) -> Iterator[httpx.Client]:
    """The gateway's HTTP, as the owner of `workspace`."""
    with gateway.http(workspace) as client:
        yield client


@pytest.fixture
def other_api(gateway: gp.Gateway) -> Iterator[httpx.Client]:
    """The gateway's HTTP, as somebody of another workspace."""
    with gateway.http(gateway.new_workspace()) as client:
        yield client


@pytest.fixture
def mark() -> str:
    """A word that no other test sends, to find this test's requests by."""
    return f"mark{secrets.token_hex(8)}"


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., gp.Gateway]]:
    """Starts gateways of the test's own, which end with it."""
    running: list[gp.Gateway] = []

    def start(**options: Any) -> gp.Gateway:
        options.setdefault("database", tmp_path / "tokenrouter.db")
        gateway = gp.start_gateway(**options)
        running.append(gateway)
        return gateway

    yield start
    for one in running:
        one.process.kill()


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[gp.Gateway, gp.Simulator]]:
    """A gateway that reaches a simulator of its own over the settings, and gives up soon."""
    simulator = gp.start_simulator()
    folder = tmp_path_factory.mktemp("standalone")
    config = folder / "tokenrouter.toml"
    config.write_text(
        "[upstream]\nfirst_event_timeout_ms = 1500\nbetween_events_timeout_ms = 1500\n"
        # What one test makes a provider do is not held against it in the next.
        "breaker_min_requests = 10000\nrefused_provider_ms = 0\nretry_budget_floor = 10000\n"
        + "".join(
            gp.provider_settings(name, kind, f"{simulator.url}/{name}{path}")
            for name, kind, path in (
                ("openai", "openai", "/v1"),
                ("anthropic", "anthropic", ""),
                ("gemini", "gemini", "/v1beta"),
                ("mistral", "mistral", "/v1"),
                ("deepseek", "deepseek", ""),
            )
        )
    )
    running = gp.start_gateway(
        folder / "tokenrouter.db", simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY}
    )
    yield running, simulator
    code = running.stop()
    assert simulator.process is not None
    simulator.process.stop()
    assert code == 0, running.process.stderr


@pytest.fixture
def faulty(standalone: tuple[gp.Gateway, gp.Simulator]) -> Iterator[tuple[httpx.Client, gp.Simulator]]:
    """`standalone` as a client, and its simulator with no faults left from before."""
    gateway, simulator = standalone
    simulator.forget()
    with gateway.http() as client:
        yield client, simulator
    simulator.forget()

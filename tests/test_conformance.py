"""Every dialect in every case, plain and streamed, and the page that says how each fares.

`UPDATE_CONFORMANCE=1` writes docs/reference/conformance.md anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import conformance
import gateway_process as gp
import httpx
import pytest
from conformance import CASES, DIALECTS, Asked, Outcome

PAGE = gp.ROOT / "docs" / "reference" / "conformance.md"

# What a provider cannot be given at all: dialect and case, and the code of the error that says so. Everything else
# must be answered.
REFUSALS = {
    ("mistral", "file: text"): "no_eligible_model",
    ("mistral", "file: PDF"): "no_eligible_model",
    ("deepseek", "file: text"): "no_eligible_model",
    ("deepseek", "file: PDF"): "no_eligible_model",
    ("compatible", "file: PDF"): "invalid_parameter",
}
# What a provider is given by other means, of which a warning tells. Everything else is carried as it is.
EMULATED = {
    ("compatible", "file: text"),
    ("anthropic", "allowed tools"),
    ("mistral", "allowed tools"),
    ("deepseek", "allowed tools"),
    ("compatible", "allowed tools"),
    ("gemini", "image in a tool's result"),
    ("deepseek", "image in a tool's result"),
    ("compatible", "image in a tool's result"),
    *((dialect, case) for dialect in DIALECTS for case in ("custom tool", "namespaces") if dialect != "openai"),
    ("deepseek", "structured output"),
    ("mistral", "reasoning"),
    ("mistral", "reasoning round trip"),
    ("compatible", "reasoning round trip"),
}

HEAD = """# Conformance

<!-- Made by tests/test_conformance.py; do not edit. -->

How each provider fares, through `POST /v1/responses`, in every case of the tests: asked plain and asked to stream, with
the same answer, held against the schema of Open Responses, the types of OpenAI's package, and the order of events. The
providers are the simulator's, whose dialects are held against the providers' own clients.

*carried*: as it was asked. *emulated*: by other means, which the notes name and `tokenrouter.warnings` tells; with
`router_strict: true` it is refused instead. *refused*: an error before anything is sent, which says why.

"""

EXCEPTIONS = """
## What is not simply carried

Every cell is a test of tests/test_conformance.py, `test_the_cell_is_green[provider-case]`, the carried ones as well: it
asks plain and streamed, and asks again with `router_strict: true`, where what was emulated must be refused and what was
carried must be carried. Of what is refused it sees that nothing was sent.

"""

TRAPS = """
## Traps

What has broken translations elsewhere, and the tests that hold each of them here.

"""


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, gp.Simulator]]:
    """A gateway whose providers are one simulator, of which faults can be asked."""
    simulator = gp.start_simulator()
    folder = tmp_path_factory.mktemp("conformance")
    config = folder / "tokenrouter.toml"
    paths = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta", "mistral": "/v1", "deepseek": ""}
    able = "tools = true, images = true, files = true, json_schema = true"
    config.write_text(
        "".join(gp.provider_settings(name, name, f"{simulator.url}/{name}{path}") for name, path in paths.items())
        + gp.provider_settings("local", "openai-compatible", f"{simulator.url}/local/v1")
        + f'models = [{{ id = "local-model", {able} }}, {{ id = "local-reasoner", {able}, reasoning = true }}]\n'
    )
    key = {"SIMULATED_KEY": gp.SIMULATED_KEY}
    gateway = gp.start_gateway(folder / "tokenrouter.db", simulate=False, config=config, environment=key)
    with gateway.http() as client:
        yield client, simulator
    assert gateway.stop() == 0, gateway.process.stderr
    assert simulator.process is not None
    simulator.process.stop()


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str], Outcome]:
    """What the cells came to, for the page."""
    return {}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_cell_is_green(
    providers: tuple[httpx.Client, gp.Simulator], outcomes: dict[tuple[str, str], Outcome], dialect: str, case: str
) -> None:
    client, simulator = providers
    simulator.forget()
    found = conformance.outcome(Asked(client, simulator, DIALECTS[dialect]), case)
    outcomes[dialect, case] = found
    cell = (dialect, case)
    wanted = "refused" if cell in REFUSALS else "emulated" if cell in EMULATED else "carried"
    assert found.word == wanted, found.notes
    strict = conformance.outcome(Asked(client, simulator, DIALECTS[dialect], strict=True), case)
    assert strict.word == ("carried" if wanted == "carried" else "refused"), strict.notes
    if found.word == "refused":
        assert found.notes[0].split()[1].rstrip(":") == REFUSALS[cell]
        assert simulator.requests() == [], "what is refused is not sent"


def test_every_trap_has_its_tests_or_is_said_to_be_open() -> None:
    known = conformance.tests_by_name()
    for number in conformance.TRAPS:
        named = [name for name in known if name.removeprefix("test_").startswith(f"trap_{number}_")]
        assert bool(named) != (number in conformance.OPEN_TRAPS), number
    for names in conformance.COVERED_ELSEWHERE.values():
        assert set(names) <= set(known), "a test that is named must be there"
    assert {case for cases in conformance.HELD_BY_CASES.values() for case in cases} <= set(CASES)


def test_the_page_is_current(
    providers: tuple[httpx.Client, gp.Simulator], outcomes: dict[tuple[str, str], Outcome]
) -> None:
    client, simulator = providers
    for cell in ((dialect, case) for dialect in DIALECTS for case in CASES):
        if cell not in outcomes:
            simulator.forget()
            outcomes[cell] = conformance.outcome(Asked(client, simulator, DIALECTS[cell[0]]), cell[1])
    page = HEAD + conformance.table(outcomes) + EXCEPTIONS + conformance.exceptions(outcomes) + TRAPS + conformance.traps()
    if os.environ.get("UPDATE_CONFORMANCE"):
        PAGE.write_text(page)
    assert PAGE.exists() and PAGE.read_text() == page, "run this file with UPDATE_CONFORMANCE=1, and read the difference"

"""Each provider is reached where its settings say, with its key in the header that it wants."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import pytest

GUIDE = gp.ROOT / "docs" / "guides" / "providers.md"
# Provider: the variables of its key and its address, the path of its API, and the header of its key.
HOSTS = {
    "groq": ("GROQ_API_KEY", "GROQ_BASE_URL", "/v1", "authorization"),
    "together": ("TOGETHER_API_KEY", "TOGETHER_BASE_URL", "/v1", "authorization"),
    "openrouter": ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "/v1", "authorization"),
    "xai": ("XAI_API_KEY", "XAI_BASE_URL", "/v1", "authorization"),
    "cerebras": ("CEREBRAS_API_KEY", "CEREBRAS_BASE_URL", "/v1", "authorization"),
    "moonshot": ("MOONSHOT_API_KEY", "MOONSHOT_BASE_URL", "/v1", "authorization"),
    "llama": ("LLAMA_API_KEY", "LLAMA_BASE_URL", "/v1", "authorization"),
    "azure": ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "/v1", "api-key"),
}
Start = Callable[..., gp.Gateway]


@pytest.fixture(scope="module")
def host() -> Iterator[gp.Simulator]:
    simulator = gp.start_simulator()
    yield simulator
    assert simulator.process is not None
    simulator.process.stop()


def settings_of_the_guide() -> list[dict[str, Any]]:
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return [entry for block in blocks for entry in tomllib.loads(block)["providers"]]


def model_of(entry: dict[str, Any]) -> str:
    first = entry["models"][0]
    return str(first if isinstance(first, str) else first["id"])


def ask(gateway: gp.Gateway, model: str, mark: str) -> None:
    with gateway.http() as client:
        answer = client.post("/v1/responses", json={"model": model, "input": mark})
    assert answer.status_code == 200, answer.text
    assert answer.json()["tokenrouter"]["provider"] == model.partition("/")[0]


def test_the_guides_settings_reach_each_host_with_the_key_in_its_header(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    entries = settings_of_the_guide()
    assert set(HOSTS) | {"azure-eu", "ollama", "vllm"} == {entry["name"] for entry in entries}
    environment = {"AZURE_EU_KEY": "key-of-azure-eu"}
    for name, (key, address, path, _) in HOSTS.items():
        environment |= {key: f"key-of-{name}", address: f"{host.url}/{name}{path}"}
    text = "\n".join(re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    # What the guide names in full is somewhere else in this test, and nothing else of it is changed.
    text = re.sub(r'base_url = "[^"]*"', "base_url = \"@\"", text)
    for name in ("azure-eu", "vllm"):
        text = text.replace('base_url = "@"', f'base_url = "{host.url}/{name}/v1"', 1)
    text = text.replace('name = "ollama"', f'name = "ollama"\nbase_url = "{host.url}/ollama/v1"')
    config = tmp_path / "tokenrouter.toml"
    config.write_text(text)
    gateway = start_gateway(simulate=False, config=config, environment=environment)
    for entry in entries:
        name = entry["name"]
        ask(gateway, f"{name}/{model_of(entry)}", f"{mark}-{name}.")
        [seen] = host.requests(f"{mark}-{name}.")
        assert (seen["provider"], seen["model"]) == (name, model_of(entry))
        assert seen["path"] == f"/{name}/v1/chat/completions"
        header = "api-key" if name == "azure-eu" else HOSTS[name][3] if name in HOSTS else ""
        shown = f"…{f'key-of-{name}'[-4:]}" if header else "…"
        assert seen["headers"] == {header: shown}


def test_the_guide_is_read_as_it_stands(tmp_path: Path) -> None:
    """Its settings have no mistake: of all that are told at once, there is only the one put in here."""
    text = "\n".join(re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    config = tmp_path / "tokenrouter.toml"
    config.write_text(text + '\n[[providers]]\nname = "odd"\nkind = "openai-compatible"\n')
    environment = {"AZURE_EU_KEY": "k", "AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://mine.example"}
    ended = gp.run(
        "serve", "--config", str(config), "--database", f"sqlite:{tmp_path}/t.db", environment=environment
    )
    assert ended.returncode not in (0, 101)
    assert "`odd` must have a `base_url`" in ended.stderr
    assert ended.stderr.count(str(config)) == 1, ended.stderr


def test_the_environment_alone_sets_a_host_up(start_gateway: Start, host: gp.Simulator, mark: str) -> None:
    environment = {"GROQ_API_KEY": "key-of-groq", "GROQ_BASE_URL": f"{host.url}/groq/v1"}
    gateway = start_gateway(simulate=False, environment=environment)
    with gateway.http() as client:
        models = [model["id"] for model in client.get("/v1/models").json()["data"]]
        [model] = [name for name in models if name.startswith("groq/")][:1] or models[:1]
        answer = client.post("/v1/responses", json={"model": model, "input": mark})
    assert answer.status_code == 200 and answer.json()["tokenrouter"]["provider"] == "groq", answer.text
    [seen] = host.requests(mark)
    assert seen["headers"] == {"authorization": "…groq"}


@pytest.mark.parametrize("names", [("GEMINI_API_KEY",), ("GOOGLE_API_KEY",), ("GEMINI_API_KEY", "GOOGLE_API_KEY")])
def test_geminis_key_is_read_as_googles_sdk_reads_it_and_goes_into_a_header(
    start_gateway: Start, host: gp.Simulator, mark: str, names: tuple[str, ...]
) -> None:
    environment = {name: f"of {name}" for name in names} | {"GEMINI_BASE_URL": f"{host.url}/gemini/v1beta"}
    gateway = start_gateway(simulate=False, environment=environment)
    ask(gateway, "gemini/gemini-2.5-flash", mark)
    [seen] = host.requests(mark)
    assert seen["headers"] == {"x-goog-api-key": "…_KEY"} and "KEY" not in seen["path"]
    assert seen["path"] == "/gemini/v1beta/models/gemini-2.5-flash:generateContent"


def test_the_environments_key_goes_to_no_address_of_the_settings(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    config = tmp_path / "tokenrouter.toml"
    config.write_text(f'[[providers]]\nname = "xai"\nbase_url = "{host.url}/mine/v1"\nmodels = ["grok-x"]\n')
    gateway = start_gateway(simulate=False, config=config, environment={"XAI_API_KEY": "key-of-xai"})
    with gateway.http() as client:
        client.post("/v1/responses", json={"model": "xai/grok-x", "input": mark})
    [seen] = host.requests(mark)
    assert "authorization" not in seen["headers"]


def test_a_models_name_cannot_leave_its_place_in_geminis_path(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    odd = "../../v1beta/files?key=x#y"
    config = tmp_path / "tokenrouter.toml"
    config.write_text(
        f'[[providers]]\nname = "gemini"\nbase_url = "{host.url}/gemini/v1beta"\napi_key = "env:K"\nmodels = ["{odd}"]\n'
    )
    gateway = start_gateway(simulate=False, config=config, environment={"K": "g-1"})
    ask(gateway, f"gemini/{odd}", mark)
    [seen] = host.requests(mark)
    assert seen["model"] == odd and seen["path"].startswith("/gemini/v1beta/models/..%2F..%2F")


def test_an_auth_that_is_none_is_told(tmp_path: Path) -> None:
    config = tmp_path / "tokenrouter.toml"
    config.write_text('[[providers]]\nname = "groq"\nauth = "basic"\n')
    ended = gp.run("serve", "--config", str(config), "--database", f"sqlite:{tmp_path}/t.db")
    assert ended.returncode not in (0, 101) and "bearer or api-key" in ended.stderr


def test_simulating_leaves_real_only_what_listens_on_this_machine(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    config = tmp_path / "both.toml"
    config.write_text(
        gp.provider_settings("elsewhere", "openai-compatible", "https://llm.invalid/v1")
        + 'models = ["far"]\n'
        + gp.provider_settings("groq", "openai-compatible", f"{host.url}/mine/v1")
        + 'models = ["near"]\n'
        + gp.provider_settings("openai", "openai", "https://openai.invalid/v1")
    )
    gateway = start_gateway(config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
    inside = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    ask(gateway, "elsewhere/far", mark)
    ask(gateway, "openai/gpt-4o", mark)
    assert [request["provider"] for request in inside.requests(mark)] == ["elsewhere", "openai"]
    assert host.requests(mark) == []
    ask(gateway, "groq/near", mark)
    [request] = host.requests(mark)
    assert request["provider"] == "mine"
    assert request["headers"] == {"authorization": f"…{gp.SIMULATED_KEY[-4:]}"}

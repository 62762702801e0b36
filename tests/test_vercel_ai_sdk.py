"""The Vercel AI SDK, of Node, against the gateway: OpenAI's Responses and chats, and Open Responses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import gateway_process as gp
import pytest

FOLDER = Path(__file__).parent / "node"
MODELS = [
    "openai/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "mistral/mistral-large-latest",
    "deepseek/deepseek-chat",
]
SURFACES = ["responses", "chat", "open"]

if not (shutil.which("node") and shutil.which("npm")):
    # Nobody's own machine must have Node; CI has it, and fails without.
    why = "the Vercel AI SDK needs Node 20 or newer, with npm: install it, or leave tests/test_vercel_ai_sdk.py out"
    if os.environ.get("CI"):
        raise RuntimeError(why)
    pytest.skip(why, allow_module_level=True)


@pytest.fixture(scope="module")
def packages() -> Path:
    """What the lock file names, installed once: again only when the lock file is newer."""
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        ended = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return FOLDER


@pytest.mark.parametrize("model", MODELS)
def test_the_vercel_ai_sdk_speaks_streams_and_calls_tools(gateway: gp.Gateway, packages: Path, model: str) -> None:
    ended = subprocess.run(
        ["node", "check.mjs", gateway.url, gateway.key, model],
        cwd=packages,
        env=gp.scrubbed_environment({"NO_PROXY": "127.0.0.1", "NODE_NO_WARNINGS": "1"}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    assert list(seen) == SURFACES
    for surface, told in seen.items():
        assert "Tell me of the sea" in told["text"] and told["finish"] == "stop", surface
        assert told["streamed"] == told["text"] and told["pieces"] > 1 and told["tokens"] > 0, surface
        assert told["calls"] == told["streamedCalls"] == [["get_weather", {"city": "Paris"}]], surface
        for answer in (told["answer"], told["streamedAnswer"]):
            assert "18 degrees in Paris" in answer, surface
        assert set(told["object"]) == {"city", "people"}, surface

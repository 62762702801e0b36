"""Where the gateway goes: to its providers' addresses, and to nothing that a caller or a provider names."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

SURFACES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/responses", {"input": "Hello"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 64}),
    ("/v1/embeddings", {"input": "Hello"}),
]


class Server(ThreadingHTTPServer):
    """Notes what it is asked, and answers with a redirect, if it was given a place to point to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.redirect: tuple[int, str] | None = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, place = self.server.redirect or (200, "")
        self.send_response(status)
        if place:
            self.send_header("location", place)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def trap() -> Iterator[Server]:
    """A server that nobody may ask anything."""
    running = Server()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def provider() -> Iterator[Server]:
    running = Server()
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path, provider: Server, trap: Server, status: int
) -> None:
    provider.redirect = (status, f"{trap.url}/v1/responses")
    config = tmp_path / "tokenrouter.toml"
    config.write_text(gp.provider_settings("openai", "openai", f"{provider.url}/v1"))
    gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
    with gateway.http() as api:
        for path, body in SURFACES:
            model = "openai/text-embedding-3-small" if path == "/v1/embeddings" else "openai/gpt-4o-mini"
            answer = api.post(path, json={"model": model} | body)
            assert answer.status_code == 502, answer.text
    assert len(provider.asked) >= len(SURFACES) and trap.asked == []


def test_no_url_of_a_caller_is_fetched(api: httpx.Client, trap: Server) -> None:
    picture = f"{trap.url}/picture.png"
    parts: list[dict[str, Any]] = [
        {"type": "input_image", "image_url": picture},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "input_file", "file_url": picture, "filename": "a.pdf"},
    ]
    for model in ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash", "mistral/mistral-large-latest"):
        for part in parts:
            api.post("/v1/responses", json={"model": model, "input": [{"role": "user", "content": [part]}]})
        image = {"type": "image", "source": {"type": "url", "url": picture}}
        said = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": [image]}]}
        api.post("/v1/messages", json=said)
        chat = {"model": model, "messages": [{"role": "user", "content": [parts[1]]}]}
        api.post("/v1/chat/completions", json=chat)
        schema = {"type": "json_schema", "name": "s", "schema": {"$ref": f"{trap.url}/schema.json"}}
        api.post("/v1/responses", json={"model": model, "input": "Hi", "text": {"format": schema}})
    assert trap.asked == []


def test_no_field_of_a_request_picks_a_host_or_a_header(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path, provider: Server, trap: Server
) -> None:
    config = tmp_path / "tokenrouter.toml"
    settings = "[upstream]\nbreaker_min_requests = 1000\n"
    config.write_text(settings + gp.provider_settings("openai", "openai", f"{provider.url}/v1"))
    gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
    hosts = ("base_url", "api_base", "endpoint", "host", "proxy", "webhook_url", "callback_url")
    fields: dict[str, Any] = dict.fromkeys(hosts, trap.url)
    for name in ("headers", "extra_headers", "default_headers"):
        fields[name] = {"x-picked": "yes", "host": trap.url, "authorization": "Bearer other"}
    fields["extra_body"] = {"base_url": trap.url}
    headers = {"x-forwarded-host": trap.url, "x-picked": "yes", "forwarded": f"host={trap.url}", "openai-organization": "o"}
    with gateway.http() as api:
        for path, body in SURFACES[:3]:
            # What it is answered is no answer of a provider.
            assert api.post(path, json={"model": "openai/gpt-4o-mini"} | body, headers=headers).status_code == 502
            api.post(path, json={"model": "openai/gpt-4o-mini"} | body | fields, headers=headers)
        for model in (f"{trap.url}/gpt-4o", f"openai/{trap.url}", "openai/../../x"):
            assert api.post("/v1/responses", json={"model": model, "input": "Hi"}).status_code in (400, 404)
    assert trap.asked == [] and len(provider.asked) >= 3
    for path, sent in provider.asked:
        assert path == "/v1/responses" and sent["host"] == provider.url.removeprefix("http://")
        assert sent["authorization"] == f"Bearer {gp.SIMULATED_KEY}"
        assert set(sent) <= {"host", "authorization", "content-type", "content-length", "accept-encoding", "user-agent"}

"""What goes wrong, at the caller's end and at the provider's, and what each is told."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_envelope, check_error
from response_stream import events, text_of

OPENAI = "openai/gpt-4o"
PROVIDERS = {
    "openai": OPENAI,
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "mistral": "mistral/mistral-large-latest",
    "deepseek": "deepseek/deepseek-chat",
}
each_provider = pytest.mark.parametrize(("provider", "model"), PROVIDERS.items(), ids=PROVIDERS.keys())


@pytest.fixture(scope="module")
def caller(gateway: gp.Gateway) -> Iterator[httpx.Client]:
    with gateway.http() as client:
        yield client


# At the caller's end.


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"model": "auto", "input": "Hi"', b'{"input": "\xff"}', b'{"input": "a"} x']
)
def test_what_is_not_json_is_told_so(caller: httpx.Client, body: bytes) -> None:
    answer = caller.post("/v1/responses", content=body, headers={"content-type": "application/json"})
    check_error(answer, 400, "invalid_request_error", "invalid_json")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"])
def test_a_models_name_has_a_bound_on_every_surface(caller: httpx.Client, path: str) -> None:
    messages = {"max_tokens": 16, "messages": [{"role": "user", "content": "Hi"}]}
    body: dict[str, Any] = {"input": "Hi"} if path == "/v1/embeddings" else messages
    assert caller.post(path, json=body | {"model": "x" * 256}).status_code == 404
    answer = caller.post(path, json=body | {"model": "x" * 257})
    assert answer.status_code == 400 and "at most 256 bytes" in answer.text


@pytest.mark.parametrize("path", ["/v1/routing-rules", "/v1/firewall-rules"])
def test_a_rule_that_is_not_json_is_told_so(caller: httpx.Client, path: str) -> None:
    answer = caller.post(path, content=b"{", headers={"content-type": "application/json"})
    check_error(answer, 400, "invalid_request_error", "invalid_json")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "auto"}, "input"),
        ({"model": "x" * 257, "input": "Hi"}, "model"),
        ({"router_model": "x" * 257, "input": "Hi"}, "router_model"),
        ({"router_provider": "x" * 257, "input": "Hi"}, "router_provider"),
        ({"input": 7}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": ["words"]}, "input[0]"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": "x", "model": 7}, "model"),
        ({"input": "x", "stream": "yes"}, "stream"),
        ({"input": "x", "temperature": "hot"}, "temperature"),
        ({"input": "x", "temperature": 3}, "temperature"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "max_output_tokens": -1}, "max_output_tokens"),
        ({"input": "x", "max_output_tokens": 1.5}, "max_output_tokens"),
        ({"input": "x", "tools": {}}, "tools"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "metadata": []}, "metadata"),
        ({"input": "x", "metadata": {"k": ["v"]}}, "metadata.k"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "x", "router_mode": "cheapest"}, "router_mode"),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_field_that_is_wrong_is_named(caller: httpx.Client, body: dict[str, Any], param: str) -> None:
    error = check_error(caller.post("/v1/responses", json=body), 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == param, error


@pytest.mark.parametrize("body", ["[]", '"words"', "7", "null"])
def test_a_body_that_is_no_object_is_refused(caller: httpx.Client, body: str) -> None:
    answer = caller.post("/v1/responses", content=body, headers={"content-type": "application/json"})
    check_error(answer, 400, "invalid_request_error", "invalid_parameter")


@pytest.mark.parametrize(
    ("model", "closest"),
    [("gpt-4p", "gpt-4o"), ("openai/gpt-4oo", "gpt-4o"), ("claude-sonet-4-5", "claude-sonnet-4-5")],
)
def test_an_unknown_model_is_told_the_closest_known(caller: httpx.Client, model: str, closest: str) -> None:
    answer = caller.post("/v1/responses", json={"model": model, "input": "Hello"})
    error = check_error(answer, 404, "not_found_error", "model_not_found")
    assert model.split("/")[-1] in error["message"] and closest in error["message"]


def test_an_unknown_provider_is_not_found(caller: httpx.Client) -> None:
    answer = caller.post("/v1/responses", json={"model": "nobody/gpt-4o", "input": "Hello"})
    assert answer.status_code == 404, answer.text


def test_a_body_of_20_megabytes_is_too_large(caller: httpx.Client) -> None:
    answer = caller.post("/v1/responses", json={"model": "auto", "input": "x" * 20_000_000})
    check_error(answer, 413, "invalid_request_error", "payload_too_large")


def test_a_body_of_20_megabytes_that_does_not_say_its_length_is_too_large(caller: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"input": "'
        for _ in range(20):
            yield b"x" * 1_000_000
        yield b'"}'

    answer = caller.post("/v1/responses", content=chunks(), headers={"content-type": "application/json"})
    check_error(answer, 413, "invalid_request_error", "payload_too_large")


def test_deep_nesting_is_refused_and_harms_nobody(caller: httpx.Client) -> None:
    answer = caller.post(
        "/v1/responses", content=b'{"input": ' + b"[" * 100_000, headers={"content-type": "application/json"}
    )
    check_error(answer, 400, "invalid_request_error", "invalid_json")
    assert caller.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer tr_wrong"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": "tr_wrong"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/models", "/v1/routing-rules", "/v1/firewall-rules", "/v1/responses/resp_1"]
)
def test_without_a_valid_key_there_is_nothing(gateway: gp.Gateway, path: str, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=gateway.url, trust_env=False) as nobody:
        method = "POST" if path == "/v1/responses" else "GET"
        answer = nobody.request(method, path, headers=headers, json={"input": "Hello"} if method == "POST" else None)
    error = check_error(answer, 401, "unauthorized_error", "invalid_api_key")
    assert "tr_wrong" not in error["message"]


def test_a_key_may_come_as_anthropics_clients_send_it(gateway: gp.Gateway) -> None:
    with httpx.Client(base_url=gateway.url, headers={"x-api-key": gateway.key}, trust_env=False) as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/", 404), ("PUT", "/v1/responses", 405), ("DELETE", "/v1/models", 405)],
)
def test_what_is_not_served_is_told_in_the_same_envelope(
    caller: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = caller.request(method, path)
    assert answer.status_code == status, answer.text
    check_envelope(answer.json()["error"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/%ff",
        "/v1/responses/%ff/input_items",
        "/v1/models/%ff",
        "/v1/conversations/%ff",
        "/v1/conversations/%ff/items",
        "/v1/conversations/conv_1/items/%ff",
        "/v1/routing-rules/%ff",
        "/v1/firewall-rules/%ff",
    ],
)
def test_an_id_that_is_no_text_is_the_id_of_nothing(caller: httpx.Client, path: str) -> None:
    check_error(caller.get(path), 404, "not_found_error", "not_found")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/responses/resp_1?stream=true&stream=true", "stream"),
        ("/v1/responses/resp_1/input_items?limit=1&limit=2", "limit"),
        ("/v1/responses/resp_1/input_items?limit=%ff", "limit"),
        ("/v1/conversations/conv_1/items?order=asc&order=desc", "order"),
    ],
)
def test_a_query_that_cannot_be_read_is_a_bad_request(caller: httpx.Client, path: str, param: str) -> None:
    check_error(caller.get(path), 400, "invalid_request_error", "invalid_parameter", param)


@pytest.mark.parametrize("field", ["router_provider", "router_model"])
def test_a_field_of_the_router_that_names_nothing_is_the_param(caller: httpx.Client, field: str) -> None:
    answer = caller.post("/v1/responses", json={"model": "auto", "input": "Hello", field: "zzz"})
    check_error(answer, 404, "not_found_error", "model_not_found", field)
    answer = caller.post("/v1/embeddings", json={"model": OPENAI, "input": "Hello", "router_provider": "zzz"})
    check_error(answer, 404, "not_found_error", "model_not_found", "router_provider")


def test_every_answer_has_a_request_id_of_its_own(caller: httpx.Client) -> None:
    assert caller.get("/v1/models").headers["x-request-id"]
    ids = {caller.post("/v1/responses", json={"input": "Hi"}).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_health_needs_no_key(gateway: gp.Gateway) -> None:
    with httpx.Client(base_url=gateway.url, trust_env=False) as nobody:
        assert nobody.get("/healthz").status_code == 200
        assert nobody.get("/readyz").status_code == 200


# At the provider's end: a gateway of its own, over a simulator with scripted faults.


def ask(client: httpx.Client, model: str, text: str = "Tell me of the sea", **body: Any) -> httpx.Response:
    return client.post("/v1/responses", json={"model": model, "input": text} | body)


def always(provider: str, **fault: Any) -> dict[str, Any]:
    """A fault for every attempt that the gateway may make."""
    return {"provider": provider, "count": 100} | fault


@each_provider
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 500}, 502, "upstream_error"),
        ({"status": 401}, 502, "upstream_error"),
        ({"status": 403}, 502, "upstream_error"),
        ({"status": 503}, 503, "provider_unavailable"),
        ({"garbage": True}, 502, "upstream_error"),
        ({"reset": True}, 503, "provider_unavailable"),
    ],
    ids=["500", "401", "403", "503", "garbage", "reset"],
)
def test_a_failing_provider_is_told_without_detail(
    faulty: tuple[httpx.Client, gp.Simulator],
    provider: str,
    model: str,
    stream: bool,
    fault: dict[str, Any],
    status: int,
    code: str,
) -> None:
    client, simulator = faulty
    simulator.fault(**always(provider, **fault))
    answer = ask(client, model, stream=stream)
    if answer.status_code == 200 and stream:
        # The trouble came after the head: the stream then ends as failed, never as a success.
        check_failed_stream(answer)
        return
    if "reset" in fault and answer.status_code == 502:
        status, code = 502, "upstream_error"
    error = check_error(answer, status, "provider_error", code)
    assert error["provider"] == provider


def check_failed_stream(answer: httpx.Response) -> dict[str, Any]:
    data = [line[5:] for line in answer.text.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    last = json.loads(data[-1])
    assert last["type"] == "response.failed", last
    error: dict[str, Any] = last["response"]["error"]
    check_envelope(error)
    assert error["type"] == "provider_error"
    assert last["response"]["status"] == "failed"
    return error


@each_provider
def test_a_providers_limit_is_passed_on_with_its_retry_after(
    faulty: tuple[httpx.Client, gp.Simulator], provider: str, model: str
) -> None:
    client, simulator = faulty
    simulator.fault(**always(provider, status=429, retry_after=7))
    answer = ask(client, model)
    error = check_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
    assert error["provider"] == provider and answer.headers["retry-after"] == "7"


@each_provider
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_provider_that_says_nothing_is_a_timeout(
    faulty: tuple[httpx.Client, gp.Simulator], provider: str, model: str, stream: bool
) -> None:
    client, simulator = faulty
    simulator.fault(**always(provider, hang=True))
    answer = ask(client, model, stream=stream)
    error = check_error(answer, 504, "provider_error", "upstream_timeout")
    assert error["provider"] == provider
    assert answer.elapsed.total_seconds() < 12


@each_provider
def test_a_provider_that_dies_in_mid_stream_fails_the_response_and_the_record(
    faulty: tuple[httpx.Client, gp.Simulator], standalone: tuple[gp.Gateway, gp.Simulator], provider: str, model: str
) -> None:
    client, simulator = faulty
    # Far enough for the first words of every wire format: before them, another target would be tried.
    simulator.fault(**always(provider, cut_after_bytes=6000))
    answer = ask(client, model, "Tell me a long story of the sea, of ships and of storms. " * 20, stream=True)
    assert answer.status_code == 200, answer.text
    error = check_failed_stream(answer)
    assert error["provider"] == provider
    assert 'response.completed"' not in answer.text
    with sqlite3.connect(f"file:{standalone[0].database}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT outcome, provider FROM ledger WHERE request_id = ?", (answer.headers["x-request-id"],)
        ).fetchall()
    [(outcome, recorded)] = rows
    assert outcome not in ("completed", "ok") and recorded == provider


@each_provider
def test_a_provider_that_dies_in_a_plain_answer_is_never_a_success(
    faulty: tuple[httpx.Client, gp.Simulator], provider: str, model: str
) -> None:
    client, simulator = faulty
    simulator.fault(**always(provider, cut_after_bytes=60))
    answer = ask(client, model)
    assert answer.status_code in (502, 503), answer.text
    assert (
        check_error(answer, answer.status_code, "provider_error", answer.json()["error"]["code"])["provider"]
        == provider
    )


@each_provider
def test_an_error_inside_a_stream_fails_the_response(
    faulty: tuple[httpx.Client, gp.Simulator], provider: str, model: str
) -> None:
    client, simulator = faulty
    simulator.fault(**always(provider, error_event=True))
    answer = ask(client, model, stream=True)
    if answer.status_code == 200:
        check_failed_stream(answer)
    else:
        assert answer.json()["error"]["type"] == "provider_error", answer.text


def test_a_refused_key_says_nothing_of_the_key_or_the_providers_words(
    faulty: tuple[httpx.Client, gp.Simulator],
) -> None:
    client, simulator = faulty
    simulator.fault(**always("openai", status=401))
    error = check_error(ask(client, OPENAI), 502, "provider_error", "upstream_error")
    words = error["message"].lower()
    assert "incorrect api key" not in words and "sk-" not in words


def test_a_slow_drip_is_a_success(faulty: tuple[httpx.Client, gp.Simulator]) -> None:
    client, simulator = faulty
    whole = text_of(ask(client, OPENAI).json())
    simulator.fault(provider="openai", count=1, drip_ms=2)
    deltas = [
        e["delta"]
        for e in events(client, model=OPENAI, input="Tell me of the sea")
        if e["type"] == "response.output_text.delta"
    ]
    assert "".join(deltas) == whole


def test_a_provider_that_is_down_is_unavailable(tmp_path: Any, start_gateway: Any) -> None:
    config = tmp_path / "down.toml"
    # Port 9 (discard) of loopback: nothing listens there.
    config.write_text(gp.provider_settings("openai", "openai", "http://127.0.0.1:9/v1"))
    gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": "sk-simulated-1"})
    with gateway.http() as client:
        for stream in (False, True):
            answer = ask(client, OPENAI, stream=stream)
            error = check_error(answer, 503, "provider_error", "provider_unavailable")
            assert error["provider"] == "openai"


def test_a_provider_without_a_key_is_said_to_have_none(tmp_path: Any, start_gateway: Any) -> None:
    gateway = start_gateway(simulate=False)
    with gateway.http() as client:
        check_error(ask(client, OPENAI), 422, "routing_error", "provider_key_missing")
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 429, "retry_after": 30}, {"reset": True}, {"status": 401}],
    ids=["500", "429", "reset", "401"],
)
def test_auto_fails_over_to_another_provider(
    faulty: tuple[httpx.Client, gp.Simulator], fault: dict[str, Any], stream: bool
) -> None:
    client, simulator = faulty
    first = client.post("/v1/route", json={"model": "auto", "input": "Tell me of the sea"}).json()["provider"]
    simulator.fault(**always(first, **fault))
    if stream:
        final = events(client, model="auto", input="Tell me of the sea")[-1]["response"]
    else:
        answer = ask(client, "auto")
        assert answer.status_code == 200, answer.text
        final = answer.json()
    told = final["tokenrouter"]
    assert told["provider"] != first
    asked = [attempt for attempt in told["attempts"] if attempt["outcome"] != "skipped"]
    outcomes = [(attempt["provider"], attempt["outcome"] == "ok") for attempt in asked]
    assert outcomes[0] == (first, False) and outcomes[-1] == (told["provider"], True)


def test_a_model_fails_over_to_the_other_provider_that_serves_it(tmp_path: Any, start_gateway: Any) -> None:
    simulator = gp.start_simulator()
    config = tmp_path / "two.toml"
    config.write_text(
        "".join(
            f'''
[[providers]]
name = "{name}"
kind = "openai-compatible"
base_url = "{simulator.url}/{name}/v1"
models = [{{ id = "shared-model" }}]
'''
            for name in ("east", "west")
        )
    )
    gateway = start_gateway(simulate=False, config=config)
    with gateway.http() as client:
        first = ask(client, "shared-model").json()["tokenrouter"]["provider"]
        other = {"east": "west", "west": "east"}[first]
        simulator.fault(**always(first, status=500))
        told = ask(client, "shared-model").json()["tokenrouter"]
        assert told["provider"] == other
    assert simulator.process is not None
    simulator.process.stop()


def test_a_callers_mistake_that_the_provider_finds_is_not_tried_elsewhere(
    faulty: tuple[httpx.Client, gp.Simulator], mark: str
) -> None:
    client, simulator = faulty
    first = client.post("/v1/route", json={"model": "auto", "input": mark}).json()["provider"]
    simulator.fault(**always(first, status=400))
    answer = ask(client, "auto", mark)
    error = check_error(answer, 400, "invalid_request_error", "invalid_parameter")
    assert error["provider"] == first
    assert len(simulator.requests(mark)) == 1


def test_a_key_that_the_provider_repeats_in_its_refusal_stays_here(
    faulty: tuple[httpx.Client, gp.Simulator],
) -> None:
    client, simulator = faulty
    refusal = {"error": {"message": f"no project of the key {gp.SIMULATED_KEY} has this", "type": "invalid_request"}}
    for stream in (False, True):
        simulator.fault(provider="openai", count=1, status=400, body=json.dumps(refusal))
        error = check_error(ask(client, OPENAI, stream=stream), 400, "invalid_request_error", "invalid_parameter")
        assert "no project of the key [redacted] has this" in error["message"]


def test_nothing_is_lost_every_request_is_in_the_ledger(
    standalone: tuple[gp.Gateway, gp.Simulator], faulty: tuple[httpx.Client, gp.Simulator]
) -> None:
    client, simulator = faulty
    simulator.fault(provider="openai", count=1, status=500)
    answers = [
        ask(client, "no-such-model"),
        ask(client, OPENAI),
        ask(client, PROVIDERS["anthropic"]),
        ask(client, PROVIDERS["anthropic"], stream=True),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    with sqlite3.connect(f"file:{standalone[0].database}?mode=ro", uri=True) as database:
        query = f"SELECT request_id, http_status FROM ledger WHERE request_id IN ({','.join('?' * len(ids))})"
        recorded = dict(database.execute(query, ids).fetchall())
    assert recorded == {request_id: answer.status_code for request_id, answer in zip(ids, answers, strict=True)}


def test_a_caller_that_goes_away_is_recorded_and_harms_nobody(
    standalone: tuple[gp.Gateway, gp.Simulator], faulty: tuple[httpx.Client, gp.Simulator]
) -> None:
    client, simulator = faulty
    simulator.fault(provider="openai", count=1, drip_ms=50)
    with client.stream(
        "POST", "/v1/responses", json={"model": OPENAI, "input": "Tell me of the sea", "stream": True}
    ) as answer:
        next(answer.iter_lines())
        request_id = answer.headers["x-request-id"]

    def recorded() -> bool:
        with sqlite3.connect(f"file:{standalone[0].database}?mode=ro", uri=True) as database:
            return bool(database.execute("SELECT 1 FROM ledger WHERE request_id = ?", (request_id,)).fetchall())

    started = time.monotonic()
    gp.until(recorded, "the record of a stream that its caller left", timeout=30)
    assert time.monotonic() - started < 30
    assert ask(client, OPENAI).status_code == 200

"""`/v1/embeddings`: the official client, each provider that has embeddings, the firewall and the ledger."""

from __future__ import annotations

import base64
import json
import sqlite3
import struct
from collections.abc import Iterator
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from errors import check_envelope, check_error
from openai.types import CreateEmbeddingResponse

OPENAI = "openai/text-embedding-3-small"
MISTRAL = "mistral/mistral-embed"
each_model = pytest.mark.parametrize("model", [OPENAI, MISTRAL])


@pytest.fixture
def client(standalone: tuple[gp.Gateway, gp.Simulator], key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=key, base_url=f"{standalone[0].url}/v1", max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def key(standalone: tuple[gp.Gateway, gp.Simulator]) -> str:
    return standalone[0].new_workspace()


@pytest.fixture
def http(standalone: tuple[gp.Gateway, gp.Simulator], key: str) -> Iterator[httpx.Client]:
    standalone[1].forget()
    with standalone[0].http(key) as client:
        yield client
    standalone[1].forget()


@pytest.fixture
def simulator(standalone: tuple[gp.Gateway, gp.Simulator], http: httpx.Client) -> gp.Simulator:
    return standalone[1]


def embed(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    if body.get("encoding_format") != "base64":
        CreateEmbeddingResponse.model_validate_json(answer.text, strict=True)
    return made


def likeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@each_model
def test_the_official_client_gets_vectors(client: openai.OpenAI, model: str) -> None:
    made = client.embeddings.create(model=model, input=["the sea and the sky", "the sky and the sea", "an invoice"])
    assert [embedding.index for embedding in made.data] == [0, 1, 2]
    sea, sky, invoice = (embedding.embedding for embedding in made.data)
    assert likeness(sea, sky) > 0.99 > 0.5 > likeness(sea, invoice)
    assert made.usage.prompt_tokens == made.usage.total_tokens == 12
    one = client.embeddings.create(model=model, input="the sea and the sky").data[0].embedding
    # The client asks for base64 when it is not told otherwise; floats must be the same vector.
    floats = client.embeddings.create(model=model, input="the sea and the sky", encoding_format="float")
    assert list(one) == pytest.approx(floats.data[0].embedding, rel=1e-6) and list(one) == pytest.approx(list(sea))


def test_base64_is_little_endian_32_bit_floats(http: httpx.Client) -> None:
    text = embed(http, model=OPENAI, input="sea", encoding_format="base64", dimensions=8)["data"][0]["embedding"]
    floats = embed(http, model=OPENAI, input="sea", dimensions=8)["data"][0]["embedding"]
    assert list(struct.unpack("<8f", base64.b64decode(text))) == pytest.approx(floats)


def test_tokens_are_carried_where_the_provider_takes_them(
    http: httpx.Client, client: openai.OpenAI, simulator: gp.Simulator
) -> None:
    one = client.embeddings.create(model=OPENAI, input=[1, 2, 3])
    two = client.embeddings.create(model=OPENAI, input=[[1, 2, 3], [4]])
    assert len(one.data) == 1 and len(two.data) == 2 and one.data[0].embedding == two.data[0].embedding
    assert [request["body"]["input"] for request in simulator.requests()] == [[[1, 2, 3]], [[1, 2, 3], [4]]]
    answer = http.post("/v1/embeddings", json={"model": MISTRAL, "input": [1, 2, 3]})
    check_error(answer, 400, "invalid_request_error", "invalid_parameter", "input")


def test_fields_arrive_as_each_provider_says_them(http: httpx.Client, simulator: gp.Simulator) -> None:
    for model in (OPENAI, MISTRAL):
        made = embed(http, model=model, input="sea", dimensions=8, user="u1")
        assert len(made["data"][0]["embedding"]) == 8
        lost = [warning["message"] for warning in made["tokenrouter"]["warnings"]]
        assert any("`user`" in message for message in lost) is (model == MISTRAL)
    first, second = (request["body"] for request in simulator.requests())
    assert first == {"model": "text-embedding-3-small", "input": ["sea"], "dimensions": 8, "user": "u1"}
    assert second == {"model": "mistral-embed", "input": ["sea"], "output_dimension": 8}
    strict = {"model": MISTRAL, "input": "sea", "user": "u1", "router_strict": True}
    check_error(http.post("/v1/embeddings", json=strict), 400, "invalid_request_error", "invalid_parameter", "user")


@pytest.mark.parametrize(
    ("model", "provider"), [("text-embedding-3-large", "openai"), ("mistral-embed", "mistral")]
)
def test_a_makers_own_name_is_enough(http: httpx.Client, model: str, provider: str) -> None:
    answer = http.post("/v1/embeddings", json={"model": model, "input": "sea"})
    assert answer.headers["x-tokenrouter-provider"] == answer.json()["tokenrouter"]["provider"] == provider
    assert answer.headers["x-tokenrouter-model"] == answer.json()["model"] == model


@pytest.mark.parametrize("body", [{}, {"model": "auto"}, {"model": "openai/auto"}, {"model": "auto:cost"}], ids=str)
def test_there_is_no_auto(http: httpx.Client, body: dict[str, Any]) -> None:
    error = check_error(
        http.post("/v1/embeddings", json={"input": "sea", **body}), 400, "invalid_request_error", "invalid_parameter"
    )
    assert error["param"] == "model" and "provider/model" in error["message"]


@pytest.mark.parametrize("model", ["openai/no-such-thing", "mistral/nothing", "nothing", "nobody/text-embedding-1"])
def test_an_unknown_model_is_not_found(http: httpx.Client, model: str) -> None:
    answer = http.post("/v1/embeddings", json={"model": model, "input": "sea"})
    check_error(answer, 404, "not_found_error", "model_not_found", "model")


@pytest.mark.parametrize("model", ["anthropic/claude-embed", "deepseek/embed"])
def test_a_provider_without_embeddings_is_said_to_have_none(http: httpx.Client, model: str) -> None:
    answer = http.post("/v1/embeddings", json={"model": model, "input": "sea"})
    error = check_error(answer, 422, "routing_error", "no_eligible_model")
    assert "no embeddings" in error["message"]


def test_a_provider_that_is_not_set_up_is_said_to_have_no_key(start_gateway: Any) -> None:
    gateway = start_gateway(simulate=False)
    with gateway.http() as client:
        for model in (OPENAI, "text-embedding-3-small"):
            answer = client.post("/v1/embeddings", json={"model": model, "input": "sea"})
            check_error(answer, 422, "routing_error", "provider_key_missing")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, None),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": ["a", 7]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [[1], ["a"]]}, "input[1]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": "a", "model": 7}, "model"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "user": 7}, "user"),
        ({"input": "a", "router_strict": "yes"}, "router_strict"),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_field_that_is_wrong_is_named(http: httpx.Client, body: dict[str, Any], param: str | None) -> None:
    answer = http.post("/v1/embeddings", json={"model": OPENAI, **body})
    error = check_error(answer, 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == param, error


def test_without_a_valid_key_there_is_nothing(http: httpx.Client) -> None:
    answer = http.post("/v1/embeddings", json={"model": OPENAI, "input": "a"}, headers={"Authorization": "Bearer no"})
    check_error(answer, 401, "unauthorized_error", "invalid_api_key")


@each_model
def test_the_firewall_screens_what_is_embedded(http: httpx.Client, simulator: gp.Simulator, model: str) -> None:
    def rule(**fields: Any) -> None:
        answer = http.post("/v1/firewall-rules", json={"name": "A rule", "scope": "prompt", "type": "substring", **fields})
        assert answer.status_code == 201, answer.text

    rule(pattern="password", action="block")
    rule(pattern="name", action="mask", replacement="***")
    made = embed(http, model=model, input=["my Name", "sea"])
    assert made["tokenrouter"]["firewall"][0]["action"] == "mask"
    assert simulator.requests()[-1]["body"]["input"] == ["my ***", "sea"]
    answer = http.post("/v1/embeddings", json={"model": model, "input": ["sea", "my PASSWORD"]})
    check_error(answer, 422, "firewall_error", "firewall_blocked")
    # Tokens cannot be read, so they do not go past the rules.
    tokens = http.post("/v1/embeddings", json={"model": model, "input": [1, 2]})
    check_error(tokens, 400, "invalid_request_error", "invalid_parameter", "input")
    assert len(simulator.requests()) == 1


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 400}, 400, "invalid_parameter"),
        ({"status": 401}, 502, "upstream_error"),
        ({"status": 429, "retry_after": 7}, 429, "rate_limit_exceeded"),
        ({"status": 500}, 502, "upstream_error"),
        ({"garbage": True}, 502, "upstream_error"),
        ({"status": 200, "body": '{"data": []}'}, 502, "upstream_error"),
        ({"reset": True}, 502, "upstream_error"),
        ({"cut_after_bytes": 100}, 502, "upstream_error"),
        ({"hang": True}, 504, "upstream_timeout"),
    ],
    ids=["400", "401", "429", "500", "garbage", "empty", "reset", "cut", "hang"],
)
@each_model
def test_a_providers_failure_is_told(
    http: httpx.Client, simulator: gp.Simulator, model: str, fault: dict[str, Any], status: int, code: str
) -> None:
    simulator.fault(provider=model.split("/")[0], count=1, **fault)
    answer = http.post("/v1/embeddings", json={"model": model, "input": "sea"})
    assert answer.status_code == status, answer.text
    check_envelope(answer.json()["error"])
    assert answer.json()["error"]["code"] == code


def test_the_ledger_has_each_request_once(
    standalone: tuple[gp.Gateway, gp.Simulator], http: httpx.Client, simulator: gp.Simulator
) -> None:
    good = http.post("/v1/embeddings", json={"model": OPENAI, "input": "the sea"})
    simulator.fault(provider="openai", count=1, status=500)
    bad = http.post("/v1/embeddings", json={"model": OPENAI, "input": "the sea"})
    with sqlite3.connect(f"file:{standalone[0].database}?mode=ro", uri=True) as database:
        query = "SELECT http_status, provider, model, task, input_tokens, output_tokens, cost_nano_usd FROM ledger WHERE request_id = ?"
        [kept] = database.execute(query, (good.headers["x-request-id"],)).fetchall()
        [failed] = database.execute(query, (bad.headers["x-request-id"],)).fetchall()
    # The catalog has no prices of embedding models, and what is not known is not 0.
    assert kept == (200, "openai", "text-embedding-3-small", "embedding", 2, 0, None)
    assert good.json()["tokenrouter"]["cost_usd"] is None
    assert failed[0] == 502


def test_a_listed_model_fails_over(tmp_path: Any, start_gateway: Any) -> None:
    simulator = gp.start_simulator()
    config = tmp_path / "two.toml"
    config.write_text(
        "".join(
            f"""
[[providers]]
name = "{name}"
kind = "openai-compatible"
base_url = "{simulator.url}/{name}/v1"
models = ["shared-embed"]
"""
            for name in ("east", "west")
        )
    )
    gateway = start_gateway(simulate=False, config=config)
    with gateway.http() as http:
        first = embed(http, model="shared-embed", input="the sea")["tokenrouter"]
        simulator.fault(provider=first["provider"], count=None, status=500)
        told = embed(http, model="shared-embed", input="the sea")["tokenrouter"]
        assert told["provider"] != first["provider"]
        assert [attempt["outcome"] for attempt in told["attempts"]] == ["failed", "ok"]
        # A model that nobody lists is taken at its word, at a host of any name.
        assert embed(http, model=f"{told['provider']}/other-embed:latest", input="sea")["model"] == "other-embed:latest"
    assert simulator.process is not None
    simulator.process.stop()

"""API keys over HTTP and by the command line: made, shown once, restricted, expired, revoked."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error

ADMIN = [
    ("GET", "/v1/api-keys"),
    ("POST", "/v1/api-keys"),
    ("DELETE", "/v1/api-keys/1"),
    ("GET", "/v1/requests"),
    ("GET", "/v1/requests/req_1"),
    ("GET", "/v1/usage"),
    *((method, "/v1/capture") for method in ("GET", "PATCH", "DELETE")),
    *((method, f"/v1/{kind}-rules") for kind in ("routing", "firewall") for method in ("GET", "POST")),
    *((method, f"/v1/{kind}-rules/1") for kind in ("routing", "firewall") for method in ("GET", "PATCH", "DELETE")),
    ("POST", "/v1/firewall-rules/test"),
]


def make(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/api-keys", json={"name": "ci"} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


def ask(gateway: gp.Gateway, key: str, model: str = "gpt-4o-mini") -> httpx.Response:
    with gateway.http(key) as api:
        return api.post("/v1/responses", json={"model": model, "input": "Hi"})


def test_a_key_is_shown_once_works_at_once_and_is_revoked_for_good(gateway: gp.Gateway, api: httpx.Client) -> None:
    made = make(api)
    key = made.pop("key")
    assert key.startswith("tr_") and (made["prefix"], made["last4"]) == (key[:7], key[-4:])
    assert (made["scope"], made["models"], made["expires_at"], made["revoked_at"]) == ("full", [], None, None)
    listed = api.get("/v1/api-keys")
    assert key not in listed.text and listed.json()["data"][-1] == made
    assert ask(gateway, key).status_code == 200
    assert api.delete(f"/v1/api-keys/{made['id']}").json() == {"success": True}
    check_error(ask(gateway, key), 401, "unauthorized_error", "invalid_api_key")
    assert api.get("/v1/api-keys").json()["data"][-1]["revoked_at"] is not None
    check_error(api.delete(f"/v1/api-keys/{made['id']}"), 404, "not_found_error", "not_found")


def test_a_key_does_not_revoke_itself(api: httpx.Client) -> None:
    [own] = api.get("/v1/api-keys").json()["data"]
    check_error(api.delete(f"/v1/api-keys/{own['id']}"), 409, "conflict_error", "conflict")


def test_another_workspaces_keys_are_not_there(api: httpx.Client, other_api: httpx.Client) -> None:
    made = make(api)
    assert made["id"] not in [key["id"] for key in other_api.get("/v1/api-keys").json()["data"]]
    for unknown in (made["id"], 0, "x"):
        check_error(other_api.delete(f"/v1/api-keys/{unknown}"), 404, "not_found_error", "not_found")


def test_a_key_expires(gateway: gp.Gateway, api: httpx.Client) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    made = make(api, expires_in_days=2)
    left = datetime.datetime.fromisoformat(made["expires_at"]) - now
    assert datetime.timedelta(days=1) < left <= datetime.timedelta(days=2, minutes=1)
    soon = now + datetime.timedelta(milliseconds=1500)
    made = make(api, expires_at=soon.isoformat())
    assert ask(gateway, made["key"]).status_code == 200
    gp.until(lambda: ask(gateway, made["key"]).status_code == 401, "the key's end")


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_an_inference_key_manages_nothing(
    gateway: gp.Gateway, api: httpx.Client, method: str, path: str
) -> None:
    with gateway.http(make(api, scope="inference")["key"]) as limited:
        check_error(limited.request(method, path), 403, "authorization_error", "key_not_allowed")
        assert limited.post("/v1/responses", json={"model": "gpt-4o-mini", "input": "Hi"}).status_code == 200


def test_an_inference_key_is_told_how_its_own_responses_came_about_alone(
    gateway: gp.Gateway, api: httpx.Client
) -> None:
    first, second = (make(api, scope="inference")["key"] for _ in range(2))
    paths = {key: f"/v1/responses/{ask(gateway, key).json()['id']}/route" for key in (gateway.key, first, second)}
    for key in (first, second):
        with gateway.http(key) as limited:
            for owner, path in paths.items():
                if owner == key:
                    assert limited.get(path).status_code == 200
                else:
                    check_error(limited.get(path), 404, "not_found_error", "not_found")
    assert all(api.get(path).status_code == 200 for owner, path in paths.items() if owner != gateway.key)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}),
        ("/v1/route", {"input": "Hi"}),
    ],
)
def test_a_key_uses_only_its_models(gateway: gp.Gateway, api: httpx.Client, path: str, body: dict[str, Any]) -> None:
    made = make(api, models=["gpt-4o*", "anthropic/claude-haiku-*"])
    assert made["scope"] == "inference"
    with gateway.http(made["key"]) as limited:
        assert limited.post(path, json=body | {"model": "gpt-4o-mini"}).status_code == 200
        assert limited.post(path, json=body | {"model": "anthropic/claude-haiku-4-5"}).status_code == 200
        for mode in ("cost", "quality", "latency", "balance"):
            answer = limited.post(path, json=body | {"model": f"auto:{mode}"})
            model = answer.headers.get("x-tokenrouter-model") or answer.json()["model"]
            assert model.startswith(("gpt-4o", "claude-haiku-")), "auto has no other candidates"
        for model in ("o3", "mistral/auto", "claude-sonnet-4-5"):
            answer = limited.post(path, json=body | {"model": model})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
        names = {model["name"] for model in limited.get("/v1/models").json()["data"] if "name" in model}
        assert names and all(name.startswith(("gpt-4o", "claude-haiku-")) for name in names)
        assert limited.get("/v1/models/o3").status_code == 404


def test_a_key_embeds_only_with_its_models(gateway: gp.Gateway, api: httpx.Client) -> None:
    with gateway.http(make(api, models=["text-embedding-3-small"])["key"]) as limited:
        body = {"input": "Hi", "model": "text-embedding-3-small"}
        assert limited.post("/v1/embeddings", json=body).status_code == 200
        body["model"] = "text-embedding-3-large"
        check_error(limited.post("/v1/embeddings", json=body), 403, "authorization_error", "model_not_allowed", "model")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"scope": "root"}, "scope"),
        ({"models": []}, "models"),
        ({"models": "gpt-4o"}, "models"),
        ({"models": [7]}, "models"),
        ({"models": ["gpt-4o"], "scope": "full"}, "scope"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 1.5}, "expires_in_days"),
        ({"expires_at": "2020-01-01"}, "expires_at"),
        ({"expires_at": "99999999999999"}, "expires_at"),
        ({"expires_at": "2099-01-01", "expires_in_days": 3}, "expires_in_days"),
        ({"key": "tr_mine"}, "key"),
    ],
)
def test_wrong_fields_are_named(api: httpx.Client, fields: dict[str, Any], field: str) -> None:
    answer = api.post("/v1/api-keys", json={"name": "ci"} | fields)
    assert field in check_error(answer, 422, "validation_error", "validation_failed", field)["errors"]
    assert len(api.get("/v1/api-keys").json()["data"]) == 1


def test_the_command_line_makes_the_same_keys(gateway: gp.Gateway) -> None:
    database = ("--database", f"sqlite:{gateway.database}")
    ended = gp.run("keys", "create", "--models", "gpt-4o*,openai/o3", "--expires-in-days", "3", *database)
    assert ended.returncode == 0, ended.stderr
    key = ended.stdout.strip()
    assert ask(gateway, key).status_code == 200
    check_error(ask(gateway, key, "claude-haiku-4-5"), 403, "authorization_error", "model_not_allowed")
    row = json.loads(gp.run("keys", "list", "--json", *database).stdout)[-1]
    assert (row["scope"], row["models"], row["revoked"]) == ("inference", ["gpt-4o*", "openai/o3"], False)
    ended = gp.run("keys", "create", "--models", "gpt-4o", "--scope", "full", *database)
    assert (ended.returncode, ended.stdout) == (1, "") and "inference" in ended.stderr


@pytest.mark.parametrize("budget", ["nan", "inf", "-inf", "1e999", "0"])
def test_a_budget_that_is_no_sum_of_money_makes_no_key(tmp_path: Path, budget: str) -> None:
    database = ("--database", f"sqlite:{tmp_path}/t.db")
    ended = gp.run("keys", "create", f"--monthly-budget-usd={budget}", *database)
    assert ended.returncode in (1, 2) and ended.stdout == ""
    assert "a number of dollars" in ended.stderr and "panicked" not in ended.stderr
    assert not (tmp_path / "t.db").exists()

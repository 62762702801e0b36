"""A workspace's own provider keys: sealed, bound to their workspace and host, used before the gateway's, rotated."""

from __future__ import annotations

import json
import os
import pty
import re
import secrets
import shlex
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error

Start = Callable[..., gp.Gateway]
MASTER = {"MASTER_ONE": "5a" * 32, "MASTER_TWO": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
RULE = {"name": "r", "action_json": {"add_warning": {"message": "w"}}}
UPSTREAM = "[upstream]\nrefused_provider_ms = 0\nbreaker_min_requests = 10000\nretry_budget_floor = 10000\n"


def vault(versions: str) -> dict[str, str]:
    return MASTER | {"TOKENROUTER_VAULT__MASTER_KEYS": versions, "SIMULATED_KEY": gp.SIMULATED_KEY}


def settings(simulator: gp.Simulator, folder: Path, extra: str = "") -> Path:
    config = folder / f"{secrets.token_hex(4)}.toml"
    config.write_text(UPSTREAM + gp.provider_settings("openai", "openai", f"{simulator.url}/openai/v1") + extra)
    return config


@pytest.fixture(scope="module")
def host() -> Iterator[gp.Simulator]:
    simulator = gp.start_simulator()
    yield simulator
    assert simulator.process is not None
    simulator.process.stop()


@pytest.fixture(scope="module")
def own(host: gp.Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gp.Gateway]:
    """A gateway with a master key, which has a key for openai; mistral is known and is at the simulator, too."""
    folder = tmp_path_factory.mktemp("own")
    elsewhere = {"MISTRAL_BASE_URL": f"{host.url}/mistral/v1", "OPENROUTER_BASE_URL": f"{host.url}/openrouter/v1"}
    environment = vault("1=env:MASTER_ONE") | elsewhere
    running = gp.start_gateway(
        folder / "t.db", simulate=False, config=settings(host, folder), environment=environment
    )
    yield running
    assert running.stop() == 0, running.process.stderr


@pytest.fixture
def mine(own: gp.Gateway, host: gp.Simulator) -> Iterator[httpx.Client]:
    host.forget()
    with own.http(own.new_workspace()) as client:
        yield client
    host.forget()


def new_key() -> str:
    return f"sk-own-{secrets.token_hex(16)}"


def add(api: httpx.Client, provider: str = "openai", key: str = "", **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/provider-keys", json={"provider": provider, "key": key or new_key()} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


def ask(api: httpx.Client, mark: str, model: str = "openai/gpt-4o-mini", **fields: Any) -> httpx.Response:
    return api.post("/v1/responses", json={"model": model, "input": mark} | fields)


def keys_seen(host: gp.Simulator, mark: str) -> list[str]:
    return [next(iter(request["headers"].values())) for request in host.requests(mark)]


def everything_on_disk(gateway: gp.Gateway) -> bytes:
    return b"".join(path.read_bytes() for path in gateway.database.parent.glob("t*.db*"))


def test_a_key_is_shown_by_its_end_alone_and_is_nowhere_in_the_clear(own: gp.Gateway, mine: httpx.Client) -> None:
    key = new_key()
    made = add(mine, key=key, name="team", weight=3)
    assert (made["provider"], made["name"], made["weight"], made["last4"]) == ("openai", "team", 3, key[-4:])
    assert made["is_usable"] and made["problem"] is None and made["master_key_version"] == 1
    assert made["host"].startswith("http://127.0.0.1:")
    path = f"/v1/provider-keys/{made['id']}"
    answers = [mine.get("/v1/provider-keys"), mine.get(path), mine.patch(path, json={"weight": 2})]
    assert answers[0].json()["data"] == [made]
    assert all(answer.status_code == 200 and key not in answer.text for answer in answers)
    assert answers[2].json()["data"]["weight"] == 2 and "key" not in answers[2].json()["data"]
    check_error(mine.patch(path, json={"key": new_key()}), 422, "validation_error", "validation_failed")
    assert b"team" in everything_on_disk(own), "what is searched is the database"
    assert key.encode() not in everything_on_disk(own) and key not in own.process.stderr
    assert mine.delete(path).json() == {"success": True}
    check_error(mine.get(path), 404, "not_found_error", "not_found")


def test_the_own_key_is_used_at_once_and_after_it_the_gateways(
    mine: httpx.Client, host: gp.Simulator, mark: str
) -> None:
    made = add(mine, key=new_key()[:-4] + "mine")
    body = ask(mine, mark).json()
    assert body["tokenrouter"]["attempts"][0]["provider_key_id"] == made["id"]
    assert ask(mine, mark, stream=True).status_code == 200
    assert mine.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": mark}).status_code == 200
    assert keys_seen(host, mark) == ["…mine"] * 3
    mine.delete(f"/v1/provider-keys/{made['id']}")
    ask(mine, mark)
    assert keys_seen(host, mark)[-1] == f"…{gp.SIMULATED_KEY[-4:]}"


def test_another_workspace_neither_sees_nor_uses_it(
    own: gp.Gateway, mine: httpx.Client, host: gp.Simulator, mark: str
) -> None:
    made = add(mine)
    add(mine, "mistral")
    path = f"/v1/provider-keys/{made['id']}"
    with own.http(own.new_workspace()) as other:
        assert other.get("/v1/provider-keys").json() == {"data": []}
        for answer in (
            other.get(path),
            other.patch(path, json={"name": "x"}),
            other.delete(path),
            other.post(f"{path}/test"),
        ):
            check_error(answer, 404, "not_found_error", "not_found")
        assert ask(other, mark).status_code == 200
        check_error(
            ask(other, mark, "mistral/mistral-small-latest"), 422, "routing_error", "provider_key_missing"
        )
        models = [model["id"] for model in other.get("/v1/models").json()["data"]]
        assert not any(model.startswith("mistral/") for model in models)
    assert keys_seen(host, mark) == [f"…{gp.SIMULATED_KEY[-4:]}"]
    assert ask(mine, mark, "mistral/mistral-small-latest").status_code == 200
    assert any(model["id"].startswith("mistral/") for model in mine.get("/v1/models").json()["data"])


def test_a_refused_or_used_up_key_gives_way_to_the_next(mine: httpx.Client, host: gp.Simulator, mark: str) -> None:
    add(mine, key="sk-invalid", weight=1000)
    good = add(mine)
    body = ask(mine, mark).json()
    attempts = body["tokenrouter"]["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["auth_failed", "ok"]
    assert attempts[1]["provider_key_id"] == good["id"]
    body = mine.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": mark}).json()
    assert [attempt["outcome"] for attempt in body["tokenrouter"]["attempts"]] == ["auth_failed", "ok"]


@pytest.mark.parametrize("body", [None, {"error": {"code": "insufficient_quota", "message": "nothing left"}}])
def test_a_key_that_has_nothing_left_gives_way_to_the_next(
    mine: httpx.Client, host: gp.Simulator, mark: str, body: dict[str, Any] | None
) -> None:
    ids = {add(mine)["id"], add(mine)["id"]}
    host.fault(provider="openai", status=429, count=1, **({"body": json.dumps(body)} if body else {}))
    attempts = ask(mine, mark).json()["tokenrouter"]["attempts"]
    outcome = "quota_used_up" if body else "rate_limited"
    assert [attempt["outcome"] for attempt in attempts] == [outcome, "ok"]
    assert {attempt["provider_key_id"] for attempt in attempts} == ids


def test_a_workspace_whose_keys_all_fail_does_not_spend_the_gateways(
    mine: httpx.Client, host: gp.Simulator, mark: str
) -> None:
    add(mine, key="sk-invalid")
    error = check_error(ask(mine, mark), 502, "provider_error", "upstream_error")
    assert "the workspace's key" in error["message"]
    assert set(keys_seen(host, mark)) == {"…alid"}


def test_a_refused_key_is_tried_with_no_further_model(mine: httpx.Client, host: gp.Simulator, mark: str) -> None:
    add(mine, key="sk-invalid")
    check_error(ask(mine, mark, "auto"), 502, "provider_error", "upstream_error")
    assert keys_seen(host, mark) == ["…alid"]
    host.fault(provider="openai", status=402, count=1)
    check_error(
        mine.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": mark}),
        502,
        "provider_error",
        "upstream_error",
    )
    assert keys_seen(host, mark) == ["…alid"] * 2


def test_reasoning_goes_back_to_the_account_that_made_it_and_to_no_other(
    mine: httpx.Client, host: gp.Simulator, mark: str
) -> None:
    add(mine, key=new_key()[:-4] + "odd0")
    add(mine, key=new_key()[:-4] + "odd1")
    thinking = {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]}
    history: list[Any] = [{"role": "user", "content": mark}]
    for _ in range(3):
        body = ask(mine, mark, "openai/gpt-5-mini", **thinking | {"input": history}).json()
        assert body["tokenrouter"]["warnings"] == []
        history += [*body["output"], {"role": "user", "content": mark}]
    [key] = set(keys_seen(host, mark))
    sealed = [[item["type"] for item in request["body"]["input"]] for request in host.requests(mark)]
    assert [types.count("reasoning") for types in sealed] == [0, 1, 2]
    used = body["tokenrouter"]["attempts"][0]["provider_key_id"]
    mine.delete(f"/v1/provider-keys/{used}")
    body = ask(mine, mark, "openai/gpt-5-mini", **thinking | {"input": history}).json()
    warnings = [warning["message"] for warning in body["tokenrouter"]["warnings"]]
    assert warnings and all("made with another key" in warning for warning in warnings), warnings
    assert keys_seen(host, mark)[-1] != key
    assert all(item["type"] != "reasoning" for item in host.requests(mark)[-1]["body"]["input"])


@pytest.mark.parametrize("keeper", ["previous_response_id", "client"])
def test_a_conversation_in_a_prompt_cache_goes_on_with_its_key(
    mine: httpx.Client, host: gp.Simulator, mark: str, keeper: str
) -> None:
    add(mine, key=new_key()[:-4] + "key0")
    add(mine, key=new_key()[:-4] + "key1")
    turn = {"role": "user", "content": f"{mark} " + "The sea was calm. " * 400}
    body: dict[str, Any] = {"input": [turn]}
    for _ in range(4):
        answer = ask(mine, mark, **body).json()
        if keeper == "client":
            body["input"] += [*answer["output"], {"role": "user", "content": "And then?"}]
        else:
            body = {"input": "And then?", "previous_response_id": answer["id"]}
    assert len(keys_seen(host, mark)) == 4 and len(set(keys_seen(host, mark))) == 1


def test_keys_are_taken_by_weight(mine: httpx.Client, host: gp.Simulator, mark: str) -> None:
    for end, weight in (("key1", 1), ("key3", 3)):
        add(mine, key=new_key() + end, weight=weight)
    for _ in range(8):
        ask(mine, mark)
    assert sorted(keys_seen(host, mark)) == ["…key1"] * 2 + ["…key3"] * 6


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider": "nobody", "key": "sk-12345678901234567890"}, "provider"),
        ({"provider": "ollama", "key": "sk-12345678901234567890"}, "provider"),
        ({"key": "sk-12345678901234567890"}, "provider"),
        ({"provider": "openai"}, "key"),
        ({"provider": "openai", "key": "sk secret-of-mine"}, "key"),
        ({"provider": "openai", "key": "sk-secret-of-mine\r\nx: y"}, "key"),
        ({"provider": "openai", "key": ["sk-secret-of-mine"]}, "key"),
        ({"provider": "openai", "key": "sk-1", "weight": 0}, "weight"),
        ({"provider": "openai", "key": "sk-1", "base_url": "http://evil.test"}, "base_url"),
    ],
)
def test_what_is_wrong_with_a_key_is_told_without_it(
    mine: httpx.Client, fields: dict[str, Any], field: str
) -> None:
    answer = mine.post("/v1/provider-keys", json=fields)
    error = check_error(answer, 422, "validation_error", "validation_failed")
    assert field in error["errors"] and "secret-of-mine" not in answer.text


@pytest.mark.parametrize("provider", ["openai", "openrouter"])
def test_a_provider_says_whether_it_takes_a_key(mine: httpx.Client, provider: str) -> None:
    for key, ok, outcome in ((new_key(), True, "ok"), ("sk-invalid", False, "auth_failed")):
        made = add(mine, provider, key=key)
        tested = mine.post(f"/v1/provider-keys/{made['id']}/test").json()["data"]
        assert (tested["ok"], tested["outcome"]) == (ok, outcome), tested


def test_a_provider_that_says_nothing_of_a_key_is_not_waited_for(start_gateway: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "silent.toml"
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        config.write_text("[upstream]\ntotal_timeout_ms = 100\n" + gp.provider_settings("openai", "openai", url))
        gateway = start_gateway(simulate=False, config=config, environment=vault("1=env:MASTER_ONE"))
        with gateway.http() as api:
            tested = api.post(f"/v1/provider-keys/{add(api)['id']}/test").json()["data"]
    assert (tested["ok"], tested["outcome"]) == (False, "timed_out")


def test_a_change_that_cannot_be_read_back_is_made_all_the_same(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    config = settings(host, tmp_path)
    gateway = start_gateway(simulate=False, config=config, environment=vault("1=env:MASTER_ONE"))
    with gateway.http() as api, sqlite3.connect(gateway.database) as database:
        database.execute("ALTER TABLE routing_rules RENAME TO away")
        made = add(api)
        database.execute("ALTER TABLE away RENAME TO routing_rules")
        used = {"provider_key_id": made["id"]}
        gp.until(lambda: used.items() <= ask(api, mark).json()["tokenrouter"]["attempts"][0].items(), "its use")
    assert "a change is written, and does not count yet" in gateway.process.stderr


def test_without_a_master_key_the_answer_says_what_to_set(api: httpx.Client) -> None:
    answer = api.post("/v1/provider-keys", json={"provider": "openai", "key": new_key()})
    error = check_error(answer, 503, "internal_error", "service_unavailable")
    assert "vault.master_keys" in error["message"]
    assert api.get("/v1/provider-keys").json() == {"data": []}


def command(gateway: gp.Gateway, config: Path, versions: str, *arguments: str, **extra: str) -> Any:
    database = ("--database", f"sqlite:{gateway.database}", "--config", str(config))
    return gp.run("providers", *arguments, *database, environment=vault(versions) | extra)


def test_the_command_line_adds_lists_tests_rotates_and_removes(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    config = settings(host, tmp_path)
    one, both, two = "1=env:MASTER_ONE", "1=env:MASTER_ONE, 2=env:MASTER_TWO", "2=env:MASTER_TWO"
    gateway = start_gateway(simulate=False, config=config, environment=vault(one))
    bootstrap, key = gateway.key, new_key()
    added = command(gateway, config, one, "add", "openai", "--key", "env:OWN", "--weight", "2", OWN=key)
    assert added.returncode == 0, added.stderr
    number = added.stdout.strip()
    with gateway.http() as api:
        gp.until(lambda: len(api.get("/v1/provider-keys").json()["data"]) == 1, "the key")
        gp.until(
            lambda: "provider_key_id" in ask(api, mark).json()["tokenrouter"]["attempts"][0], "its use"
        )
    assert keys_seen(host, mark)[-1] == f"…{key[-4:]}"
    listed = command(gateway, config, one, "list", "--json")
    assert key not in listed.stdout and json.loads(listed.stdout)[0]["master_key_version"] == 1
    assert command(gateway, config, one, "test").stdout.split("\t")[:2] == [number, "ok"]
    rotated = command(gateway, config, both, "rotate")
    assert rotated.returncode == 0 and "1 provider keys" in rotated.stderr, rotated.stderr
    assert json.loads(command(gateway, config, two, "list", "--json").stdout)[0]["is_usable"]
    assert gateway.stop() == 0
    again = start_gateway(
        simulate=False, config=config, environment=vault(two) | {"TOKENROUTER_BOOTSTRAP_KEY": bootstrap}
    )
    with again.http(bootstrap) as api:
        ask(api, f"{mark}-again")
    assert keys_seen(host, f"{mark}-again") == [f"…{key[-4:]}"]
    removed = command(again, config, "", "remove", number)
    assert removed.returncode == 0, removed.stderr
    assert "no provider key" in command(again, config, "", "remove", number).stderr


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ("1=env:MASTER_TWO", "does not open it"),
        ("2=env:MASTER_TWO", "master key 1, which `vault.master_keys` does not have"),
        ("", "vault.master_keys"),
        ("1=env:NOWHERE", "the environment has no `NOWHERE`"),
        ("5a5a5a5a", "never the keys themselves"),
    ],
)
def test_a_master_key_that_is_not_the_one_is_told_at_the_start(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, versions: str, told: str
) -> None:
    config = settings(host, tmp_path)
    gateway = start_gateway(simulate=False, config=config, environment=vault("1=env:MASTER_ONE"))
    with gateway.http() as api:
        add(api)
    assert gateway.stop() == 0
    database = ("--database", f"sqlite:{gateway.database}", "--config", str(config), "--listen", "127.0.0.1:0")
    ended = gp.run("serve", *database, environment=vault(versions))
    assert ended.returncode not in (0, 101) and told in ended.stderr, ended.stderr
    assert "5a5a" not in ended.stderr
    looked = gp.run("doctor", *database[:4], environment=vault(versions))
    assert looked.returncode not in (0, 101) and told in looked.stdout + looked.stderr, looked.stdout + looked.stderr


def test_a_key_that_stops_the_start_is_removed_as_the_hint_says(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path
) -> None:
    config = settings(host, tmp_path)
    gateway = start_gateway(simulate=False, config=config, environment=vault("1=env:MASTER_ONE"))
    name = "it's another"
    assert gp.run("keys", "create", "--workspace", name, "--database", f"sqlite:{gateway.database}").returncode == 0
    added = command(gateway, config, "1=env:MASTER_ONE", "add", "openai", "--workspace", name, "--key", "env:SIMULATED_KEY")
    assert added.returncode == 0, added.stderr
    assert gateway.stop() == 0
    start = ("serve", "--database", f"sqlite:{gateway.database}", "--config", str(config), "--listen", "127.0.0.1:0")
    ended = gp.run(*start, environment=vault(""))
    assert f"of workspace {name}, for openai" in ended.stderr
    hint = re.search("`tokenrouter providers (remove [^`]+)`", ended.stderr)
    assert hint, ended.stderr
    removed = command(gateway, config, "1=env:GONE", *shlex.split(hint.group(1)))
    assert removed.returncode == 0, removed.stderr
    start_gateway(simulate=False, config=config, environment=vault(""), database=gateway.database)


def test_a_gateway_keeps_the_keys_that_it_has_opened_when_another_one_rotates(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    config = settings(host, tmp_path)
    gateway = start_gateway(simulate=False, config=config, environment=vault("1=env:MASTER_ONE"))
    with gateway.http() as api:
        key = new_key()
        add(api, key=key)
        assert command(gateway, config, "1=env:MASTER_ONE, 2=env:MASTER_TWO", "rotate").returncode == 0
        gp.until(lambda: "was encrypted anew" in gateway.process.stderr, "the change")
        assert ask(api, mark).status_code == 200
        assert not api.get("/v1/provider-keys").json()["data"][0]["is_usable"]
        assert api.post("/v1/routing-rules", json=RULE).status_code == 201
        assert ask(api, mark).status_code == 200
    assert keys_seen(host, mark) == [f"…{key[-4:]}"] * 2
    assert gateway.process.stderr.count("was encrypted anew") == 1


def test_a_key_is_not_typed_where_it_can_be_read(own: gp.Gateway, host: gp.Simulator, tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    arguments = ["providers", "add", "openai", "--database", f"sqlite:{own.database}", "--config"]
    process = subprocess.Popen(
        [str(gp.binary()), *arguments, str(settings(host, tmp_path))],
        env=gp.scrubbed_environment(vault("1=env:MASTER_ONE")),
        stdin=end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(end)
    _, said = process.communicate(timeout=30)
    os.close(terminal)
    assert process.returncode != 0 and "--key env:NAME" in said


def test_a_key_goes_to_no_other_host_than_it_was_given_for(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    environment = vault("1=env:MASTER_ONE")
    gateway = start_gateway(simulate=False, config=settings(host, tmp_path), environment=environment)
    bootstrap = gateway.key
    with gateway.http() as api:
        add(api)
    assert gateway.stop() == 0
    elsewhere = gp.start_simulator()
    moved = start_gateway(
        simulate=False,
        config=settings(elsewhere, tmp_path),
        environment=environment | {"TOKENROUTER_BOOTSTRAP_KEY": bootstrap},
    )
    with moved.http(bootstrap) as api:
        error = check_error(ask(api, mark), 422, "routing_error", "provider_key_missing")
        assert "the workspace's own key for openai cannot be used" in error["message"]
        assert "host" not in error["message"]
        warnings = ask(api, mark, "auto").json()
        assert "host" not in str(warnings.get("tokenrouter", warnings))
        [listed] = api.get("/v1/provider-keys").json()["data"]
        assert not listed["is_usable"] and listed["host"] == host.url and "host" in listed["problem"]
    assert elsewhere.requests(mark) == []
    assert elsewhere.process is not None
    elsewhere.process.stop()


def test_a_row_that_is_moved_to_another_workspace_does_not_open(
    start_gateway: Start, host: gp.Simulator, tmp_path: Path, mark: str
) -> None:
    gateway = start_gateway(
        simulate=False, config=settings(host, tmp_path), environment=vault("1=env:MASTER_ONE")
    )
    thief = gateway.new_workspace()
    with gateway.http() as api:
        add(api)
    with sqlite3.connect(gateway.database) as database:
        database.execute("UPDATE provider_keys SET workspace_id = (SELECT max(id) FROM workspaces)")
    with gateway.http(thief) as api:
        gp.until(lambda: ask(api, mark).status_code == 422, "the change")
        assert "cannot be used" in ask(api, mark).json()["error"]["message"]
        assert "master key" not in ask(api, mark).text
        assert "does not open it" in api.get("/v1/provider-keys").json()["data"][0]["problem"]
    assert all(seen == f"…{gp.SIMULATED_KEY[-4:]}" for seen in keys_seen(host, mark))

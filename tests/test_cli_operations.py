"""The commands for who runs a gateway: the request log, usage, dry runs, rules in bulk, and the doctor."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx


def run(gateway: gp.Gateway, *arguments: str) -> str:
    ended = gp.run(*arguments, "--database", f"sqlite:{gateway.database}")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def ask(gateway: gp.Gateway, **body: Any) -> httpx.Response:
    with gateway.http() as api:
        return api.post("/v1/responses", json={"model": "gpt-4o-mini", "input": "Good morning"} | body)


def test_the_request_log_and_usage_are_those_of_the_api(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    first = ask(gateway).json()
    ask(gateway, model="no-such-model")
    with gateway.http() as api:
        listed = api.get("/v1/requests").json()["data"]
        whole = api.get(f"/v1/requests/{listed[1]['id']}").json()
        usage = api.get("/v1/usage?group_by=model").json()["data"]
    assert lines(run(gateway, "requests", "list", "--json")) == listed
    assert lines(run(gateway, "requests", "list", "--json", "--outcome", "failed")) == listed[:1]
    assert lines(run(gateway, "requests", "list", "--json", "--until", "2020-01-01")) == []
    table = run(gateway, "requests", "list").splitlines()
    assert [row.split("\t")[0] for row in table] == [request["id"] for request in listed]
    assert json.loads(run(gateway, "requests", "show", listed[1]["id"])) == whole
    assert json.loads(run(gateway, "requests", "show", first["id"])) == whole
    assert lines(run(gateway, "usage", "--by", "model", "--json")) == usage
    assert len(run(gateway, "usage").splitlines()) == 1
    gone = gp.run("requests", "show", "req_none", "--database", f"sqlite:{gateway.database}")
    assert (gone.returncode, gone.stdout) == (1, "") and "req_none" in gone.stderr


def test_tail_prints_requests_as_they_end(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    ask(gateway)
    tail = gp.Process(["requests", "tail", "--json", "--database", f"sqlite:{gateway.database}"], {})
    try:
        tail.wait_for("(waiting for requests)")
        new = ask(gateway).headers["x-request-id"]
        gp.until(lambda: new in tail.stdout, "the request in the tail")
        assert [request["id"] for request in lines(tail.stdout)] == [new]
    finally:
        tail.kill()


def test_a_dry_run_answers_as_the_api_does(tmp_path: Path) -> None:
    database = f"sqlite:{tmp_path}/t.db"
    environment = {"OPENAI_API_KEY": "sk-none", "ANTHROPIC_API_KEY": "sk-none"}
    ended = gp.run("route", "Write a haiku", "--json", "--database", database, environment=environment)
    assert ended.returncode == 0, ended.stderr
    route = json.loads(ended.stdout)
    assert route["object"] == "route" and route["mode"] == "balance" and route["candidates"]
    assert {c["provider"] for c in route["candidates"]} == {"openai", "anthropic"}
    ended = gp.run("route", "Hi", "--model", "gpt-4o:cost", "--database", database, environment=environment)
    assert "mode cost" in ended.stderr
    rows = [row.split("\t") for row in ended.stdout.splitlines()]
    assert [row[:2] for row in rows if row[-1] == "-"] == [["openai", "gpt-4o"]]
    assert all(row[-1] == "no_key" for row in rows[1:])
    ended = gp.run("route", "Hi", "--model", "gpt-5000", "--database", database, environment=environment)
    assert (ended.returncode, ended.stdout) == (1, "") and "gpt-5000" in ended.stderr


def test_a_dry_run_disturbs_no_gateway_that_runs(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
        simulator.fault(hang=True)
        made = api.post("/v1/responses", json={"model": "gpt-4o-mini", "input": "Hi", "background": True}).json()
        database = f"sqlite:{gateway.database}"
        ended = gp.run("route", "Hi", "--database", database, environment={"OPENAI_API_KEY": "sk-none"})
        assert ended.returncode == 0, ended.stderr
        assert api.get(f"/v1/responses/{made['id']}").json()["status"] in ("queued", "in_progress")
        assert api.post(f"/v1/responses/{made['id']}/cancel").json()["status"] == "cancelled"


def test_rules_go_out_and_in_again_by_their_names(start_gateway: Callable[..., gp.Gateway], tmp_path: Path) -> None:
    gateway = start_gateway()
    routing = {
        "name": "Cheap seas", "priority": 3, "is_enabled": True,
        "match_json": {"contains": "sea"}, "action_json": {"set_mode": "cost"},
    }  # fmt: skip
    firewall = {
        "name": "No keys", "priority": 0, "is_enabled": True, "scope": "prompt", "type": "regex",
        "pattern": "sk-[a-z]+", "action": "mask", "replacement": "[key]",
        "normalize": False,
    }  # fmt: skip
    with gateway.http() as api:
        assert api.post("/v1/routing-rules", json=routing).status_code == 201
        assert api.post("/v1/firewall-rules", json=firewall).status_code == 201
    document = run(gateway, "rules", "export")
    assert json.loads(document) == {"routing_rules": [routing], "firewall_rules": [firewall]}
    file = tmp_path / "rules.json"
    file.write_text(document)
    key = run(gateway, "keys", "create", "--workspace", "other").strip()

    def bring() -> str:
        database = f"sqlite:{gateway.database}"
        ended = gp.run("rules", "import", "--workspace", "other", "--database", database, str(file))
        assert ended.returncode == 0, ended.stderr
        return ended.stderr

    assert bring() == "2 made, 0 changed, 0 as they were\n"
    assert bring() == "0 made, 0 changed, 2 as they were\n"
    with gateway.http(key) as api:
        before = api.get("/v1/routing-rules").json()["data"]
        file.write_text(json.dumps({"routing_rules": [routing | {"priority": 9}]}))
        assert bring() == "0 made, 1 changed, 0 as they were\n"
        [rule] = api.get("/v1/routing-rules").json()["data"]
        assert (rule["id"], rule["priority"]) == (before[0]["id"], 9)
        assert len(api.get("/v1/firewall-rules").json()["data"]) == 1, "what is not named stays"


def test_a_document_with_mistakes_imports_nothing(start_gateway: Callable[..., gp.Gateway], tmp_path: Path) -> None:
    gateway = start_gateway()
    file = tmp_path / "rules.json"
    good = {"name": "Good", "match_json": {}, "action_json": {"set_mode": "cost"}}
    file.write_text(json.dumps({"routing_rules": [good, good, {"name": "x"}], "firewall_rules": [{"pattern": 1}]}))
    ended = gp.run("rules", "import", "--database", f"sqlite:{gateway.database}", str(file))
    assert ended.returncode == 1
    for place in ("routing_rules[1]", "routing_rules[2]", "firewall_rules[0]"):
        assert place in ended.stderr
    with gateway.http() as api:
        assert api.get("/v1/routing-rules").json()["data"] == []
    for wrong in ("[]", "{}", "{", '{"rules": []}'):
        file.write_text(wrong)
        ended = gp.run("rules", "import", "--database", f"sqlite:{gateway.database}", str(file))
        assert ended.returncode == 1 and "panicked" not in ended.stderr


def test_the_doctor_tells_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environment = {"OPENAI_API_KEY": "sk-hidden", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
        ended = gp.run("doctor", "--json", "--database", f"sqlite:{tmp_path}/t.db", environment=environment)
        assert ended.returncode == 0, ended.stderr
        checks = {check["check"]: check["ok"] for check in lines(ended.stdout)}
        there = ("settings", "database", "workspaces' provider keys", "openai key", "openai address")
        assert checks == dict.fromkeys(there, True)
        assert "sk-hidden" not in ended.stdout + ended.stderr
    ended = gp.run("doctor", "--json", "--database", f"sqlite:{tmp_path}/t.db", environment=environment)
    assert ended.returncode == 1
    assert [check["check"] for check in lines(ended.stdout) if not check["ok"]] == ["openai address"]
    (tmp_path / "file").write_text("")
    ended = gp.run("doctor", "--database", f"sqlite:{tmp_path}/file/t.db")
    assert ended.returncode == 1 and "FAILED\tdatabase" in ended.stdout


def test_migrate_makes_the_database(tmp_path: Path) -> None:
    ended = gp.run("migrate", "--database", f"sqlite:{tmp_path}/t.db")
    assert (ended.returncode, ended.stdout) == (0, "") and "schema" in ended.stderr
    assert (tmp_path / "t.db").exists()


def test_the_settings_abilities_beat_the_catalogs(tmp_path: Path) -> None:
    config = tmp_path / "t.toml"
    config.write_text(
        '[[abilities]]\nmodel = "openai/gpt-4o"\nability = 0.9\n\n'
        '[[abilities]]\nmodel = "openai/gpt-4o"\ntask = "coding"\nability = 0.2\n'
    )
    ended = gp.run("models", "--json", "--provider", "openai", "--config", str(config))
    assert ended.returncode == 0, ended.stderr
    [abilities] = [row["abilities"] for row in lines(ended.stdout) if row["id"] == "openai/gpt-4o"]
    coding = {"ability": 0.2, "source": "settings"}
    assert abilities == {"overall": {"ability": 0.9, "source": "settings"}, "by_task": {"coding": coding}}
    ended = gp.run("models", "--abilities", "--provider", "openai")
    [row] = [row.split("\t") for row in ended.stdout.splitlines() if row.startswith("openai/gpt-4o\t")]
    assert row[1] == "0.50" and row[-1] == "estimate" and len(row) == 13
    ended = gp.run("route", "Hi", "--json", "--database", f"sqlite:{tmp_path}/t.db", "--config", str(config),
                   environment={"OPENAI_API_KEY": "sk-none"})  # fmt: skip
    [candidate] = [c for c in json.loads(ended.stdout)["candidates"] if c["model"] == "gpt-4o"]
    assert candidate["ability"] == 0.9
    config.write_text('[[abilities]]\nmodel = "x"\ntask = "cooking"\nability = 2\n')
    ended = gp.run("models", "--config", str(config))
    assert ended.returncode == 2
    assert "t.toml:1: `task` of an ability must be one of coding" in ended.stderr
    assert "t.toml:1: `ability` must be a number from 0 to 1" in ended.stderr

"""The database cannot be written to: answers go on, records wait in the spool, and nothing is lost or there twice."""

from __future__ import annotations

import concurrent.futures
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import gateway_process as gp
import httpx
from errors import check_error

Start = Callable[..., gp.Gateway]
MODEL = "openai/gpt-4o-mini"


@contextmanager
def locked(gateway: gp.Gateway) -> Iterator[None]:
    """Another process holds the database's write lock."""
    with closing(sqlite3.connect(gateway.database, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def ask(api: httpx.Client, text: str = "Hi", **fields: Any) -> httpx.Response:
    return api.post("/v1/responses", json={"model": MODEL, "input": text} | fields)


def readiness(api: httpx.Client) -> tuple[int, str]:
    answer = api.get("/readyz")
    return answer.status_code, answer.json()["status"]


def recorded(gateway: gp.Gateway) -> list[str]:
    with closing(sqlite3.connect(gateway.database)) as database:
        return [row[0] for row in database.execute("SELECT response_id FROM ledger WHERE outcome = 'completed'")]


def spool_bytes(gateway: gp.Gateway) -> int:
    spool = gateway.database.with_name(gateway.database.name + ".spool")
    return spool.stat().st_size if spool.exists() else 0


def test_answers_go_on_and_what_they_left_is_in_the_ledger_once_after_a_kill(start_gateway: Start) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        before = ask(api, "The word is apricot.").json()["id"]
        with locked(gateway):
            kinds: list[dict[str, Any]] = [{}, {"stream": True}, {"store": False}, {"stream": True, "store": False}]
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(lambda n: ask(api, f"Hi {n}", **kinds[n % 4]), range(40)))
            assert all(answer.status_code == 200 for answer in answers)
            assert all(
                b"response.completed" in answer.content for answer in answers if "event-stream" in str(answer.headers)
            )
            plain = [answer.json()["id"] for answer in answers if "json" in answer.headers["content-type"]]
            assert readiness(api) == (200, "degraded")
            assert "tokenrouter_recording 1" in api.get("/metrics").text
            assert spool_bytes(gateway) > 0
            assert ask(api, "And?", previous_response_id=before).status_code == 200
            # What is acknowledged and not at hand is never said not to be there.
            for answer in (
                api.get(f"/v1/responses/{plain[0]}"),
                ask(api, previous_response_id=plain[0]),
                api.post("/v1/routing-rules", json={"name": "r", "action_json": {"set_mode": "cost"}}),
                api.post("/v1/conversations", json={}),
                ask(api, background=True),
            ):
                check_error(answer, 503, "internal_error", "service_unavailable")
                assert answer.headers["retry-after"]
            gateway.process.kill()
    assert len(recorded(gateway)) == 1, "the rest waits in the spool"
    again = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": gateway.key})
    ids = recorded(again)
    assert len(ids) == len(set(ids)) == 1 + 40 + 1 and set(plain) < set(ids)
    assert spool_bytes(again) == 0
    with again.http(gateway.key) as api:
        assert api.get(f"/v1/responses/{plain[0]}").status_code == 200
        assert ask(api, previous_response_id=plain[0]).status_code == 200
        assert readiness(api) == (200, "ready")


def test_the_database_comes_back_while_the_gateway_runs(start_gateway: Start) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        with locked(gateway):
            id = ask(api).json()["id"]
            assert recorded(gateway) == []
        gp.until(lambda: readiness(api) == (200, "ready"), "its return")
        assert recorded(gateway) == [id] and spool_bytes(gateway) == 0
        assert api.get(f"/v1/responses/{id}").json()["id"] == id
        ask(api)
    assert len(recorded(gateway)) == 2
    assert gateway.stop() == 0


def test_a_full_spool_refuses_before_a_provider_is_asked(start_gateway: Start, mark: str) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_DATABASE__SPOOL_BYTES": "6000"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    with gateway.http() as api:
        with locked(gateway):
            told: list[str] = []
            while (answer := ask(api, mark)).status_code == 200:
                told.append(answer.json()["id"])
            check_error(answer, 503, "internal_error", "service_unavailable")
            assert told and readiness(api) == (503, "spool full")
            asked = len(simulator.requests(mark))
            refused = ask(api, mark)
            check_error(refused, 503, "internal_error", "service_unavailable")
            assert refused.headers["retry-after"] and len(simulator.requests(mark)) == asked
            body = {"model": "text-embedding-3-small", "input": mark}
            check_error(api.post("/v1/embeddings", json=body), 503, "internal_error", "service_unavailable")
        gp.until(lambda: readiness(api) == (200, "ready"), "its return")
        assert ask(api, mark).status_code == 200
    assert set(told) < set(recorded(gateway))


def test_without_a_spool_what_cannot_be_recorded_is_an_error(start_gateway: Start) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_DATABASE__SPOOL_BYTES": "0"})
    with gateway.http() as api, locked(gateway):
        check_error(ask(api), 503, "internal_error", "service_unavailable")
    assert spool_bytes(gateway) == 0


def test_a_spool_that_is_left_at_the_start_is_brought_in_later_and_what_it_ends_is_not_failed(
    start_gateway: Start,
) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, delay_ms=500)
    with gateway.http() as api:
        id = ask(api, background=True).json()["id"]
        gp.until(lambda: len(simulator.requests()) == 1, "the work")
        with locked(gateway):
            gp.until(lambda: spool_bytes(gateway) > 0, "its record")
            gateway.process.kill()
    with gateway.database.with_name(gateway.database.name + ".spool").open("rb") as spool:
        # Another gateway's, as far as can be seen.
        fcntl.flock(spool, fcntl.LOCK_EX)
        again = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": gateway.key})
        with again.http(gateway.key) as api:
            assert api.get(f"/v1/responses/{id}").json()["status"] in ("queued", "in_progress")
            check_error(api.get("/v1/responses/resp_none"), 503, "internal_error", "service_unavailable")
            new = ask(api).json()["id"]
    with again.http(gateway.key) as api:
        gp.until(lambda: spool_bytes(again) == 0, "its return")
        assert api.get(f"/v1/responses/{id}").json()["status"] == "completed"
        # What it used was in no ledger when the limits' sums were made.
        sums = api.get("/v1/usage").json()["total"]

        def used() -> int:
            return int(api.get("/v1/workspace").json()["data"]["this_month"]["used_tokens"])

        gp.until(lambda: used() == sums["input_tokens"] + sums["output_tokens"], "its being counted")
    assert sorted(recorded(again)) == sorted([id, new])


def test_who_reads_the_request_log_is_told_that_records_wait(start_gateway: Start) -> None:
    gateway = start_gateway()
    paths = ("/v1/requests", "/v1/usage")
    header = "x-tokenrouter-records-waiting"
    database = f"sqlite:{gateway.database}"
    commands = (("requests", "list"), ("usage",))
    with gateway.http() as api:
        ask(api)
        for path in paths:
            assert api.get(path).json()["records_waiting"] is False
            assert header not in api.get(path, params={"format": "csv"}).headers
        with locked(gateway):
            ask(api)
            for path in paths:
                assert api.get(path).json()["records_waiting"] is True
                assert api.get(path, params={"format": "csv"}).headers[header] == "true"
            for command in commands:
                told = gp.run(*command, "--database", database)
                assert told.returncode == 0 and "waits in the spool" in told.stderr
        gp.until(lambda: readiness(api) == (200, "ready"), "its return")
        assert api.get("/v1/requests").json()["records_waiting"] is False
        assert len(api.get("/v1/requests").json()["data"]) == 2
    for command in commands:
        assert "spool" not in gp.run(*command, "--database", database).stderr


def test_firewall_matches_wait_with_their_records(start_gateway: Start) -> None:
    gateway = start_gateway()
    rule = {"name": "r", "scope": "prompt", "type": "substring", "pattern": "apricot", "action": "warn"}
    with gateway.http() as api:
        id = api.post("/v1/firewall-rules", json=rule).json()["data"]["id"]

        def hits() -> int:
            return int(api.get(f"/v1/firewall-rules/{id}").json()["data"]["hits"])

        ask(api, "an apricot")
        assert hits() == 1
        with locked(gateway):
            ask(api, "an apricot and an apricot")
            assert hits() == 1
        gp.until(lambda: readiness(api) == (200, "ready"), "its return")
        assert hits() == 3

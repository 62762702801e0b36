"""Feedback moves the choice of the workspace that gave it: within bounds, for good, and of no other one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error

from tokenrouter import Tokenrouter

PROMPT = "Write a function that merges two sorted lists and keeps the order of equal elements"


def abilities(api: httpx.Client) -> dict[str, float]:
    route = api.post("/v1/route", json={"model": "auto", "input": PROMPT})
    assert route.status_code == 200, route.text
    return {f"{c['provider']}/{c['model']}": c["ability"] for c in route.json()["candidates"]}


def ask(api: httpx.Client, model: str = "openai/gpt-4o") -> dict[str, Any]:
    answer = api.post("/v1/responses", json={"model": model, "input": PROMPT})
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


def say(api: httpx.Client, response: dict[str, Any], **said: Any) -> httpx.Response:
    return api.post(f"/v1/responses/{response['id']}/feedback", json=said)


def test_what_people_say_moves_an_ability_within_bounds(api: httpx.Client, other_api: httpx.Client) -> None:
    before, others_before = abilities(api), abilities(other_api)
    for _ in range(40):
        assert say(api, ask(api), thumbs="down").status_code == 200
    after = abilities(api)
    moved = before["openai/gpt-4o"] - after["openai/gpt-4o"]
    assert 0.02 < moved <= 0.1 + 1e-6
    assert {name: ability for name, ability in after.items() if name != "openai/gpt-4o"} == {
        name: ability for name, ability in before.items() if name != "openai/gpt-4o"
    }
    assert abilities(other_api) == others_before


def test_the_last_word_on_a_response_counts(api: httpx.Client) -> None:
    before = abilities(api)["openai/gpt-4o"]
    response = ask(api)
    said = say(api, response, score=0.25, comment="wrong order").json()
    assert (said["object"], said["response_id"], said["score"]) == ("response.feedback", response["id"], 0.25)
    assert (said["provider"], said["model"], said["comment"]) == ("openai", "gpt-4o", "wrong order")
    assert abilities(api)["openai/gpt-4o"] < before
    assert say(api, response, thumbs="up").json()["score"] == 1
    assert abilities(api)["openai/gpt-4o"] > before
    last = api.get(f"/v1/responses/{response['id']}/feedback").json()
    assert (last["score"], last["comment"]) == (1, None), "nothing is left of what was said before"


def test_feedback_outlives_a_restart(start_gateway: Callable[..., gp.Gateway], tmp_path: Path) -> None:
    database = tmp_path / "kept.db"
    first = start_gateway(database=database)
    with first.http() as api:
        for _ in range(5):
            say(api, ask(api), score=0)
        learned = abilities(api)
    assert first.stop() == 0
    second = start_gateway(database=database)
    with second.http() as api:
        assert abilities(api) == pytest.approx(learned, abs=1e-3)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "score"),
        ({"score": 2}, "score"),
        ({"score": -0.01}, "score"),
        ({"score": None}, "score"),
        ({"score": "good"}, "score"),
        ({"score": True}, "score"),
        ({"thumbs": "sideways"}, "thumbs"),
        ({"score": 1, "thumbs": "up"}, "thumbs"),
        ({"score": 1, "comment": 5}, "comment"),
        ({"score": 1, "comment": "x" * 5000}, "comment"),
        ({"score": 1, "stars": 5}, "stars"),
    ],
    ids=str,
)
def test_feedback_that_is_none_is_refused(api: httpx.Client, body: dict[str, Any], param: str) -> None:
    error = check_error(say(api, ask(api), **body), 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == param


def test_only_the_workspace_that_asked_can_say_something(api: httpx.Client, other_api: httpx.Client) -> None:
    response = ask(api)
    check_error(say(other_api, response, score=0), 404, "not_found_error", "not_found")
    check_error(other_api.get(f"/v1/responses/{response['id']}/feedback"), 404, "not_found_error", "not_found")
    check_error(api.get(f"/v1/responses/{response['id']}/feedback"), 404, "not_found_error", "not_found")
    check_error(say(api, {"id": "resp_none"}, score=0), 404, "not_found_error", "not_found")


def test_the_sdk_says_it(gateway: gp.Gateway, workspace: str) -> None:
    with Tokenrouter(api_key=workspace, base_url=gateway.url) as client:
        response = client.responses.create(model="gpt-4o", input=PROMPT)
        said = client.responses.feedback(response.id or "", thumbs="up", comment="Good")
        assert (said.response_id, said.score, said.comment) == (response.id, 1.0, "Good")

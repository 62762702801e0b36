"""`tokenrouter evaluate`: known outcomes, and the workspace's own log."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest


def row(number: int) -> dict[str, Any]:
    hard = number % 2 == 0
    words = "prove that the graph" if hard else "add up the numbers"
    return {
        "prompt": f"{words} {number % 31} and {number % 23}",
        "group": "logic" if hard else "sums",
        "models": {
            "dear": {"score": 1, "cost": 0.01},
            "cheap": {"score": 0 if hard else 1, "cost": 0.001},
            "middle": {"score": 0.5, "cost": 0.004},
        },
    }


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    path = tmp_path / "outcomes.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(400)))
    return path


def run(*arguments: str) -> str:
    ended = gp.run("evaluate", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_known_outcomes_are_measured_beside_what_needs_no_router(outcomes: Path, tmp_path: Path) -> None:
    plot = tmp_path / "curve.svg"
    arguments = (str(outcomes), "--pair", "dear", "cheap", "--resamples", "50", "--plot", str(plot))
    report = json.loads(run(*arguments, "--json"))
    assert report["aiq_gain"]["low"] > 0, report["aiq_gain"]
    assert report["aiq_oracle"] >= report["aiq_router"]["value"] > report["aiq_mixture"]["value"] > report["aiq_chance"]
    assert [saving["percent"] for saving in report["savings"]] == [100, 98, 95]
    assert report["aiq_forecast"]["value"] > report["aiq_chance"], "the gateway sees what is hard, and learned nothing"
    assert report["pair"]["seen"]["apgr"] > 0.6
    assert report["best_single"]["model"] == "dear"
    assert plot.read_text().startswith("<svg ") and "dear" in plot.read_text()
    text = run(*arguments)
    for words in ("router above mixture", "gateway's forecast", "best single model: dear", "cost saved at 98 %", "APGR", "CPT(80 %)", "oracle"):
        assert words in text
    assert run(*arguments, "--json") == json.dumps(report, separators=(",", ":")) + "\n", "the same seed, the same figures"


def test_every_pair_is_told_apart_by_who_never_saw_it(outcomes: Path) -> None:
    report = json.loads(run(str(outcomes), "--all-pairs", "--json", "--resamples", "20"))
    pairs = {(pair["strong"], pair["weak"]): pair for pair in report["pairs"]}
    assert pairs.keys() >= {("dear", "cheap"), ("dear", "middle")}
    assert pairs["dear", "cheap"]["gap"] == pytest.approx(0.5, abs=0.15)
    assert report["best_over_worst"]["strong"] == "dear"
    assert report["spread"]["least"] <= report["spread"]["quartiles"][1] <= report["spread"]["most"]
    text = run(str(outcomes), "--all-pairs", "--resamples", "20")
    for words in ("abilities by task", "prompts that tell nothing", "best over half its cost: dear over"):
        assert words in text


def test_each_group_can_be_left_out_in_turn(outcomes: Path) -> None:
    reports = [json.loads(line) for line in run(str(outcomes), "--leave-one-out", "--json", "--resamples", "20").splitlines()]
    assert [report["left_out"] for report in reports] == ["logic", "sums"]
    assert all(report["report"]["measured_on"] == 200 for report in reports)


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("nonsense\n", (), "line 1: "),
        ("", (), "there are no outcomes in it"),
        (None, ("--pair", "dear", "none"), "there is no model `none`; there are cheap, dear, middle"),
        (None, ("--leave-out", "none"), "there is no group `none`; there are logic, sums"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_told(outcomes: Path, text: str | None, arguments: tuple[str, ...], told: str) -> None:
    if text is not None:
        outcomes.write_text(text)
    ended = gp.run("evaluate", str(outcomes), *arguments)
    assert (ended.returncode, ended.stdout) == (1, "") and told in ended.stderr


def test_the_log_tells_what_it_can_and_says_what_it_cannot(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()

    def ask(api: httpx.Client, model: str, **said: Any) -> None:
        answer = api.post("/v1/responses", json={"model": model, "input": "Write a function that adds two numbers"})
        assert answer.status_code == 200
        if said:
            assert api.post(f"/v1/responses/{answer.json()['id']}/feedback", json=said).status_code == 200

    with gateway.http() as api:
        ask(api, "openai/gpt-4o", thumbs="up")
        ask(api, "openai/gpt-4o", score=0.5)
        ask(api, "auto")
        api.post("/v1/responses", json={"model": "no-such-model", "input": "Hi"})
    database = ("--database", f"sqlite:{gateway.database}")
    told = json.loads(run("--requests", "--json", *database))
    assert (told["requests"], told["scored"]) == (3, 2)
    [gpt] = [model for model in told["models"] if model["model"] == "openai/gpt-4o"]
    assert (gpt["requests"], gpt["scored"], gpt["mean_score"]) == (2, 2, 0.75)
    assert 0 < gpt["mean_forecast"] < 1 and gpt["cost_usd"] > 0 and gpt["estimated_cost_usd"] > 0
    assert told["forecast_error"] >= 0
    text = run("--requests", *database)
    assert "3 answered requests" in text and "in no log" in text
    # A request for one model says nothing of what others would have cost, and takes none of them away.
    assert told["with_choice"] == 1 and (told["recorded"], told["read"]) == (4, 4)
    singles = {one["model"]: one for one in told["estimated_cost_of_one_model_for_all"]}
    assert len(singles) > 5 and all(one["requests"] == 1 and one["chosen_usd"] > 0 for one in singles.values())
    assert "instead of" in text


def test_feedback_on_requests_of_unknown_price_is_read(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        answer = api.post("/v1/responses", json={"model": "openai/gpt-4o", "input": "Hi"}).json()
        assert api.post(f"/v1/responses/{answer['id']}/feedback", json={"score": 0.5}).status_code == 200
    with sqlite3.connect(gateway.database) as database:
        database.execute("UPDATE ledger SET cost_nano_usd = NULL")
    told = json.loads(run("--requests", "--json", "--database", f"sqlite:{gateway.database}"))
    assert (told["requests"], told["unpriced"], told["scored"]) == (1, 1, 1)
    [gpt] = told["models"]
    assert (gpt["requests"], gpt["scored"], gpt["mean_score"], gpt["cost_usd"]) == (1, 1, 0.5, 0)

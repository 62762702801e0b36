"""`tokenrouter train` and `routing.predictor`: what outcomes of one's own prompts teach the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

# Both are in the catalog, at about the same price.
LOGIC, SUMS = "openai/gpt-4.1-mini", "openai/gpt-5-mini"
PROOF, SUM = "Prove that the graph of 28 and 9 has no cycle.", "Add up the numbers of 28 and 9 in the ledger."


def outcome(number: int) -> dict[str, Any]:
    proves = number % 2 == 0
    words = "Prove that the graph of {} and {} has no cycle." if proves else "Add up the numbers of {} and {} in the ledger."
    models = {LOGIC: int(proves), SUMS: int(not proves), "nobody/has-this": 0.5}
    return {
        "prompt": words.format(number % 31, number % 23),
        "models": {model: {"score": score, "cost": 0.001} for model, score in models.items()} | ({"rare": {"score": 1, "cost": 0}} if number < 3 else {}),
    }


def write(path: Path, rows: int = 600) -> Path:
    path.write_text("".join(json.dumps(outcome(number)) + "\n" for number in range(rows)))
    return path


def train(outcomes: Path, out: Path, *more: str) -> dict[str, Any]:
    done = gp.run("train", str(outcomes), "--out", str(out), "--json", *more)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictor")
    told = train(write(folder / "outcomes.jsonl"), folder / "predictor.bin")
    assert told["prompts"] == 600 and sorted(told["models"]) == [LOGIC, SUMS]
    assert told["unknown_models"] == ["nobody/has-this"] and told["left_out"] == ["rare"]
    assert told["bytes"] == (folder / "predictor.bin").stat().st_size < 220_000
    return folder / "predictor.bin"


def route(api: httpx.Client, text: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/v1/route", json={"model": "auto:quality", "input": text} | more)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def of(told: dict[str, Any], model: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in told["candidates"] if f"{c['provider']}/{c['model']}" == model)
    return found


def test_what_was_learned_moves_the_choice_for_prompts_like_those_and_no_others(
    predictor: Path, tmp_path: Path, start_gateway: Callable[..., gp.Gateway]
) -> None:
    plain, learned = (start_gateway(environment=env) for env in ({}, {"TOKENROUTER_ROUTING__PREDICTOR": str(predictor)}))
    with plain.http() as before, learned.http() as after:
        proof, total = route(after, PROOF), route(after, SUM)
        assert proof["predictor_weight"] > 0.9 and total["predictor_weight"] > 0.9
        assert of(proof, LOGIC)["scores"]["quality"] > of(proof, SUMS)["scores"]["quality"] + 0.3
        assert of(total, SUMS)["scores"]["quality"] > of(total, LOGIC)["scores"]["quality"] + 0.3
        assert of(proof, LOGIC)["predicted"] > 0 > of(total, LOGIC)["predicted"]
        # Without it the other one is held to be abler for both, and the record says that nothing was moved.
        told = route(before, PROOF)
        assert told["predictor_weight"] == 0 and all(c["predicted"] == 0 for c in told["candidates"])
        assert of(told, SUMS)["scores"]["quality"] > of(told, LOGIC)["scores"]["quality"]
        # A request of another kind is not moved; nor is a model of which nothing was learned.
        other = route(after, "Write a short poem about the sea in winter")
        assert other["predictor_weight"] < 0.2 and all(abs(c["predicted"]) < 0.5 for c in other["candidates"])
        unmoved = {(c["provider"], c["model"]): c["scores"]["quality"] for c in route(before, "hello there")["candidates"]}
        told = route(after, "hello there")
        same = [c for c in told["candidates"] if f"{c['provider']}/{c['model']}" not in (LOGIC, SUMS)]
        assert told["predictor_weight"] == 0 and len(same) > 10
        assert all(c["scores"]["quality"] == unmoved[c["provider"], c["model"]] for c in same)
        # What is kept of a request has it too.
        answer = after.post("/v1/responses", json={"model": "auto:quality", "input": PROOF, "max_output_tokens": 16})
        assert answer.status_code == 200, answer.text
        kept = after.get(f"/v1/responses/{answer.json()['id']}/route").json()["decision"]["route"]
        assert kept["predictor_weight"] == proof["predictor_weight"]
        first = kept["candidates"][0]
        assert first["predicted"] == of(proof, f"{first['provider']}/{first['model']}")["predicted"]


def test_a_short_turn_is_moved_as_what_it_goes_on_with(predictor: Path, start_gateway: Callable[..., gp.Gateway]) -> None:
    with start_gateway(environment={"TOKENROUTER_ROUTING__PREDICTOR": str(predictor)}).http() as api:
        turns = [{"role": "user", "content": PROOF}, {"role": "assistant", "content": "It has none."}, {"role": "user", "content": "Go on"}]
        assert route(api, "", input=turns)["predictor_weight"] > 0.9
        assert route(api, "Go on")["predictor_weight"] == 0


def test_abilities_that_were_learned_are_shown_and_the_settings_beat_them(predictor: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'[routing]\npredictor = "{predictor}"\n\n[[abilities]]\nmodel = "{LOGIC}"\ntask = "math"\nability = 0.11\n')

    def abilities(*more: str) -> dict[str, Any]:
        done = gp.run("models", "--json", "--provider", "openai", *more)
        assert done.returncode == 0, done.stderr
        return {model["id"]: model["abilities"] for model in map(json.loads, done.stdout.splitlines())}

    told, known = abilities("--config", str(config)), abilities()
    assert told[SUMS]["overall"]["source"] == "predictor" and told[SUMS]["by_task"]["math"]["source"] == "predictor"
    assert told[LOGIC]["by_task"]["math"] == {"ability": 0.11, "source": "settings"}
    assert told["openai/gpt-4.1"] == known["openai/gpt-4.1"]


def test_the_same_outcomes_and_seed_give_the_same_file_and_what_is_kept_apart_is_not_learned(tmp_path: Path) -> None:
    outcomes = write(tmp_path / "outcomes.jsonl", 200)
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, seed in zip(files, (1, 1, 2)):
        train(outcomes, file, "--seed", str(seed))
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other
    rows = [outcome(number) | {"split": "test" if number >= 100 else "train"} for number in range(200)]
    outcomes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert train(outcomes, files[0])["prompts"] == 100


def test_what_is_no_predictor_and_no_outcomes_is_told(tmp_path: Path, predictor: Path) -> None:
    broken = tmp_path / "broken.bin"
    for content in (b"", b"nonsense", predictor.read_bytes()[:-1]):
        broken.write_bytes(content)
        done = gp.run("serve", "--simulate", "--listen", "127.0.0.1:0", environment={"TOKENROUTER_ROUTING__PREDICTOR": str(broken)})
        assert done.returncode == 2 and "TOKENROUTER_ROUTING__PREDICTOR" in done.stderr and str(broken) in done.stderr, done.stderr
    done = gp.run("doctor", environment={"TOKENROUTER_ROUTING__PREDICTOR": str(tmp_path / "none.bin")})
    assert done.returncode == 2 and "none.bin" in done.stderr + done.stdout
    few = write(tmp_path / "few.jsonl", 20)
    done = gp.run("train", str(few), "--out", str(tmp_path / "never"))
    assert done.returncode == 1 and "30 outcomes" in done.stderr and not (tmp_path / "never").exists()
    done = gp.run("train", str(few), "--out", str(tmp_path / "no" / "folder"))
    assert done.returncode == 1 and "Traceback" not in done.stderr and "panicked" not in done.stderr

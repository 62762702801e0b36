"""`tokenrouter train` and `routing.predictor`: what outcomes of one's own prompts teach the gateway."""

from __future__ import annotations

import json
import re
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
        # A request of another kind goes where it went, whatever was learned of the models.
        for other in ("hello there", "Write a short poem about winter", "Übersetze den Brief bitte ins Englische"):
            told = route(after, other)
            assert told["predictor_weight"] == 0 and told["candidates"] == route(before, other)["candidates"]
        # Of one kind of prompt the measured models can do half: so it is held to be of models that nobody measured.
        unmeasured = of(proof, "openai/gpt-4.1")["scores"]["quality"]
        assert unmeasured < of(route(before, PROOF), "openai/gpt-4.1")["scores"]["quality"] and unmeasured < of(proof, LOGIC)["scores"]["quality"]
        # What is kept of a request has it too.
        answer = after.post("/v1/responses", json={"model": "auto:quality", "input": PROOF, "max_output_tokens": 16})
        assert answer.status_code == 200, answer.text
        kept = after.get(f"/v1/responses/{answer.json()['id']}/route").json()["decision"]["route"]
        assert kept["predictor_weight"] == proof["predictor_weight"]
        first = kept["candidates"][0]
        assert first["predicted"] == of(proof, f"{first['provider']}/{first['model']}")["predicted"]


def test_a_short_turn_is_moved_as_what_it_goes_on_with(predictor: Path, start_gateway: Callable[..., gp.Gateway]) -> None:
    with start_gateway(environment={"TOKENROUTER_ROUTING__PREDICTOR": str(predictor)}).http() as api:

        def weight(*turns: str) -> float:
            answered = [[{"role": "user", "content": turn}, {"role": "assistant", "content": "It has none."}] for turn in turns]
            return float(route(api, "", input=sum(answered, [])[:-1])["predictor_weight"])

        hard = "Implement a lock-free multi-producer queue in Rust. It must be linearizable and must not leak memory. " * 3
        assert weight(PROOF, "Go on") > 0.9 and weight(PROOF, "Thanks.", "Why? Show it.") > 0.9
        assert weight(hard, PROOF) > 0.9, "what was asked before does not say what this is like"
        assert weight("Go on") == weight(PROOF, hard) == weight(PROOF, hard, "Go on") == 0


def test_abilities_that_were_learned_are_shown_and_the_settings_beat_them(predictor: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'[routing]\npredictor = "{predictor}"\n\n[[abilities]]\nmodel = "{LOGIC}"\ntask = "math"\nability = 0.11\n')

    def abilities(*more: str) -> dict[str, Any]:
        done = gp.run("models", "--json", "--provider", "openai", *more)
        assert done.returncode == 0, done.stderr
        return {model["id"]: model["abilities"] for model in map(json.loads, done.stdout.splitlines())}

    told, known = abilities("--config", str(config)), abilities()
    learned = told[SUMS].pop("predictor")
    assert set(learned) == {*learned, "math", "chat"} and told[SUMS] == known[SUMS]
    assert told[LOGIC]["by_task"]["math"] == {"ability": 0.11, "source": "settings"}
    assert "math" not in told[LOGIC]["predictor"] and "chat" in told[LOGIC]["predictor"]
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
    enough = write(tmp_path / "enough.jsonl", 100)
    for out in (tmp_path / "no" / "folder", tmp_path):
        done = gp.run("train", str(enough), "--out", str(out))
        assert done.returncode == 1 and str(out) in done.stderr and "panicked" not in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.bin", "enough.jsonl", "few.jsonl"]


def test_the_dry_run_tells_how_much_the_predictor_counts(tmp_path: Path, predictor: Path) -> None:
    def told(text: str) -> str:
        environment = {"TOKENROUTER_ROUTING__PREDICTOR": str(predictor), "OPENAI_API_KEY": "sk-none"}
        done = gp.run("route", text, "--database", f"sqlite:{tmp_path}/db", environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert re.search(r"the predictor learned from by (0\.9\d|1\.00)", told(PROOF)) and "predictor" not in told("hello there")


def test_a_predictor_can_be_trained_that_the_settings_name_already(tmp_path: Path) -> None:
    outcomes, link = write(tmp_path / "outcomes.jsonl", 100), tmp_path / "link.bin"
    link.symlink_to(tmp_path / "real.bin")
    environment = {"TOKENROUTER_ROUTING__PREDICTOR": str(link)}
    (tmp_path / "real.bin").write_bytes(b"of another version")
    done = gp.run("train", str(outcomes), "--out", str(link), environment=environment)
    assert done.returncode == 0 and "2 of 3 are known" in done.stderr and "nobody/has-this" in done.stderr, done.stderr
    assert link.is_symlink() and (tmp_path / "real.bin").read_bytes().startswith(b"TRP2")
    done = gp.run("doctor", "--json", "--database", f"sqlite:{tmp_path}/db", environment=environment)
    [check] = [check for check in map(json.loads, done.stdout.splitlines()) if check["check"] == "predictor"]
    assert check["ok"] and "2 of its 3 models" in check["detail"]


def test_of_two_names_of_one_model_the_one_with_its_provider_counts(tmp_path: Path) -> None:
    rows = [{"prompt": f"say {number}", "models": {LOGIC: {"score": 0.9, "cost": 1}, LOGIC.split("/")[1]: {"score": 0.1, "cost": 1}}} for number in range(60)]
    outcomes, out = tmp_path / "outcomes.jsonl", tmp_path / "out.bin"
    outcomes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = gp.run("train", str(outcomes), "--out", str(out))
    assert done.returncode == 0 and "names of one model" in done.stderr, done.stderr
    done = gp.run("models", "--json", "--provider", "openai", environment={"TOKENROUTER_ROUTING__PREDICTOR": str(out)})
    [model] = [model for model in map(json.loads, done.stdout.splitlines()) if model["id"] == LOGIC]
    assert model["abilities"]["predictor"]["qa"] > 0.2

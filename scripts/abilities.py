"""Sets the abilities of the models in crates/routing/src/catalog/catalog.json.

    python scripts/abilities.py            writes them
    python scripts/abilities.py --check    fails if they are not what would be written

quality_priors.json has how able a model is over all tasks; benchmarks.csv has public figures by benchmark, each with
its source and the date for which it stood there. The log-odds of a benchmark become ability by the line that
fits best through all its models. A model's ability at a task is the middle between what it is over all tasks and what the
task's benchmarks say, at most 0.08 away from the first: a benchmark is a narrow thing, run at the highest effort.
"""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CATALOG = HERE.parent / "crates" / "routing" / "src" / "catalog" / "catalog.json"
TASKS = {"GPQA Diamond": ("reasoning", "qa"), "AIME 2025": ("math",), "SWE-bench Verified": ("coding",)}
FARTHEST = 0.08


def family(name: str) -> dict[str, Any]:
    """What quality_priors.json says of a model."""
    name = name.rsplit("/", 1)[-1].lower()
    for entry in json.loads((HERE / "quality_priors.json").read_text())["families"]:
        if re.fullmatch(entry["match"], name):
            return entry
    raise SystemExit(f"quality_priors.json says nothing of {name}")


def overall(entry: dict[str, Any]) -> float:
    return entry.get("quality", round(0.30 + entry.get("index", 0) / 100, 3))


def figures() -> list[dict[str, str]]:
    with (HERE / "benchmarks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def log_odds(percent: str) -> float:
    """Of a score, which near 0 and 100 % says ever more. No test is without a mistake: 98 % is as good as all."""
    share = min(max(float(percent) / 100, 0.02), 0.98)
    return math.log(share / (1 - share))


def lines() -> dict[str, tuple[float, float]]:
    """By benchmark: slope and height of the line from its log-odds to ability."""
    found = {}
    for benchmark in TASKS:
        of_it = [row for row in figures() if row["benchmark"] == benchmark]
        scores = [log_odds(row["score"]) for row in of_it]
        abilities = [overall(family(row["model"])) for row in of_it]
        found[benchmark] = tuple(statistics.linear_regression(scores, abilities))
    return found


def abilities(model: str) -> dict[str, Any]:
    """The fields of the catalog: over all tasks, by task, and where each comes from."""
    entry = family(model)
    general = overall(entry)
    source = entry["source"] if entry["source"] == "estimate" else f"{entry['source']} ({entry['date']})"
    made: dict[str, Any] = {"quality": general, "quality_source": source}
    by_task: dict[str, float] = dict(entry.get("by_task", {}))
    sources: dict[str, str] = {task: "estimate" for task in by_task}
    fitted = lines()
    name = model.rsplit("/", 1)[-1].lower()
    for row in figures():
        if row["model"] != name:
            continue
        slope, height = fitted[row["benchmark"]]
        says = (general + slope * log_odds(row["score"]) + height) / 2
        for task in TASKS[row["benchmark"]]:
            by_task[task] = round(min(max(says, general - FARTHEST), general + FARTHEST), 3)
            sources[task] = f"{row['benchmark']} {float(row['score']):g}, {row['source']} ({row['date']})"
    if by_task:
        made |= {"quality_by_task": by_task, "quality_sources": sources}
    return made


def main() -> None:
    head, *models = CATALOG.read_text().split('\n    {"provider"')
    made = []
    for model in models:
        line = '{"provider"' + model
        entry, length = json.JSONDecoder().raw_decode(line)
        kept = {k: v for k, v in entry.items() if not k.startswith("quality")}
        new: dict[str, Any] = {}
        for key, value in kept.items():
            if key == "latency":
                new |= abilities(entry["id"])
            new[key] = value
        made.append(json.dumps(new) + line[length:])
    text = "\n    ".join([head, *made])
    if "--check" in sys.argv:
        if text != CATALOG.read_text():
            raise SystemExit("catalog.json is not what scripts/abilities.py makes; hint: python scripts/abilities.py")
    else:
        CATALOG.write_text(text)


if __name__ == "__main__":
    main()

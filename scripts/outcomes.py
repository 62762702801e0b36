"""Makes outcomes for `tokenrouter evaluate` out of public data.

    python scripts/outcomes.py FOLDER OUT

FOLDER has mmlupro_outcomes.jsonl.gz (TIGER-AI-Lab/MMLU-Pro, Apache-2.0), zeroeval_outcomes.jsonl.gz
(WildEval/ZeroEval, Apache-2.0) and llmrouter_9models.jsonl.gz (ulab-uiuc/LLMRouter, MIT); OUT gets mmlupro.jsonl,
zeroeval.jsonl and llmrouter.jsonl. None of it is in this repository: it is other people's text.

The data has scores and the lengths of answers, but no costs. A cost here is a price for tokens times the tokens of prompt
and answer, four characters a token. Prices of closed models, in dollars for a million tokens of input and output, are
about what their providers asked in the autumn of 2024; those of open models go by their size, in the steps in which hosts
sold them then. They set the models in an order of cost, and are no more exact than that. LLMRouter has no
lengths: an answer counts as 200 tokens.

Three tenths of the prompts of MMLU-Pro and ZeroEval, by a hash of their text, are marked as the split to measure on;
LLMRouter has a split of its own. `train_difficulty.py` learns from the others alone.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLOSED = {
    r"gpt-4o-mini": (0.15, 0.60), r"gpt-4o-2024-05-13": (5.0, 15.0), r"(chat)?gpt-4o": (2.5, 10.0),
    r"gpt-4-turbo": (10.0, 30.0), r"gpt-4-0314": (30.0, 60.0), r"gpt-3\.5-turbo": (0.5, 1.5),
    r"o1-mini": (3.0, 12.0), r"o1-preview": (15.0, 60.0),
    r"claude-3-haiku": (0.25, 1.25), r"claude-3-5-haiku": (0.8, 4.0), r"claude-3(-5)?-sonnet": (3.0, 15.0),
    r"claude-3-opus": (15.0, 75.0), r"gemini-1\.5-flash": (0.075, 0.30), r"gemini-1\.5-pro": (1.25, 5.0),
    r"deepseek": (0.14, 0.28), r"mistral-large": (2.0, 6.0), r"command-r-plus": (2.5, 10.0), r"command-r": (0.15, 0.60),
    r"jamba-1\.5-large": (2.0, 8.0), r"reka-core": (2.0, 6.0), r"reka-flash": (0.2, 0.8), r"yi-large": (3.0, 3.0),
    r"grok-2": (2.0, 10.0),
}  # fmt: skip
# Billions of parameters, and dollars for a million tokens.
SIZES = [(4, 0.1), (9, 0.2), (21, 0.3), (41, 0.8), (80, 0.9), (1000, 3.5)]
NAMED_SIZES = {"phi-3-mini": 4, "phi-3.5-mini": 4, "mathstral-7b": 7, "mixtral-8x7b": 47, "mistral-nemo": 12, "athene": 70}


def price(model: str) -> tuple[float, float]:
    name = model.lower()
    for pattern, pair in CLOSED.items():
        if re.match(pattern, name):
            return pair
    named = next((size for known, size in NAMED_SIZES.items() if name.startswith(known)), None)
    stated = re.search(r"(\d+)b\b", name)
    if named is None and stated is None:
        raise SystemExit(f"nothing is known of what {model} costs")
    size = named if named is not None else int(stated[1])  # type: ignore[index]
    step = next(dollars for most, dollars in SIZES if size <= most)
    return step, step


def outcome(model: str, score: float, prompt: str, answer_characters: float) -> dict[str, float]:
    into, out = price(model)
    return {"score": score, "cost": round((len(prompt) / 4 * into + answer_characters / 4 * out) / 1e6, 10)}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"{path}: {len(lines)} prompts")


def split(prompt: str) -> str:
    """The same in whatever file the prompt stands."""
    return "test" if int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4]) % 10 < 3 else "train"


def mmlupro(folder: Path) -> list[dict[str, Any]]:
    made = []
    for row in rows(folder / "mmlupro_outcomes.jsonl.gz"):
        prompt = row["question"] + "\n" + "\n".join(row["options"])
        models = {model: outcome(model, *_pair(result, prompt)) for model, result in row["r"].items()}
        made.append({"prompt": prompt, "group": row["category"], "split": split(prompt), "models": models})
    return made


def _pair(result: list[float], prompt: str) -> tuple[float, str, float]:
    return result[0], prompt, result[1]


def zeroeval(folder: Path) -> list[dict[str, Any]]:
    made, asked = [], Counter()
    every = list(rows(folder / "zeroeval_outcomes.jsonl.gz"))
    for row in every:
        asked.update(row["r"].keys())
    # Models that were asked everything: a pool must be the same for all prompts.
    whole = {model for model, times in asked.items() if times == len(every)}
    for row in every:
        prompt = row["prompt"]
        models = {m: outcome(m, *_pair(result, prompt)) for m, result in row["r"].items() if m in whole}
        made.append({"prompt": prompt, "group": row["set"], "split": split(prompt), "models": models})
    return made


def llmrouter(folder: Path) -> list[dict[str, Any]]:
    every = list(rows(folder / "llmrouter_9models.jsonl.gz"))
    learned = {row["prompt"] for row in every if row["split"] == "train"}
    made = []
    for row in every:
        # 119 of the prompts to measure on are also among those to learn from.
        if row["split"] != "train" and row["prompt"] in learned:
            continue
        prompt, part = row["prompt"], "train" if row["split"] == "train" else "test"
        models = {model: outcome(model, score, prompt, 800) for model, score in row["r"].items()}
        made.append({"prompt": prompt, "group": row["task"], "split": part, "models": models})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for make in (mmlupro, zeroeval, llmrouter):
        write(args.out / f"{make.__name__}.jsonl", make(args.folder))


if __name__ == "__main__":
    main()

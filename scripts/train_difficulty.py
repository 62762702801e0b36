"""Trains the forecast of difficulty: outcomes of public benchmarks -> crates/routing/data/difficulty.bin, with a golden file.

    python scripts/train_difficulty.py FOLDER            # some minutes; FOLDER as for outcomes.py
    python scripts/train_difficulty.py FOLDER --check    # that the weights in the repository come out again
    python scripts/train_difficulty.py FOLDER --report   # what they do on prompts kept apart, and with a data set left out

An item-response model (Rasch): a model of ability a answers a prompt of difficulty d well with the chance
1 / (1 + exp(8 (d - a))), as the gateway has it (`select/score.rs`). d is what the gateway's signs say, corrected by a
line through them and by weights of the features that the recogniser of tasks sees
(crates/routing/examples/difficulty_features.rs). A second set of weights tells prompts like those of the benchmarks from
requests of all kinds (data/tasks): of what is like none of the benchmarks nothing was learned, and the signs alone count.

Abilities are fitted beside the weights, one for each model and kind of prompt, and thrown away. Logistic loss and L2, by
L-BFGS, rounded to one byte a weight; nothing is drawn by chance. The prompts that outcomes.py marks as the split to
measure on are never trained on, nor any of another data set that shares half of its rare sequences of words with one. Needs
scripts/requirements.txt and cargo. It does not read tasks.bin but through the task whose usual difficulty the signs
begin with, which the correction takes back: after train_tasks.py it may be run again, and need not.
"""

import argparse
import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# Before numpy: it sets the number of numpy's threads.
import train_tasks as tasks  # isort: skip
import numpy as np
import outcomes
from train_tasks import ROOT, Array

WEIGHTS = ROOT / "crates" / "routing" / "data" / "difficulty.bin"
GOLDEN = ROOT / "crates" / "routing" / "data" / "difficulty_golden.json"
# As in crates/routing/src/task/trained.rs: of the recogniser's rows of hashes two share one here.
HASHED = tasks.REGIONS[0]
REGIONS = (HASHED // 2, *tasks.REGIONS[1:])
ROWS = sum(REGIONS)
STEEPNESS = 8.0
# L2 of the weights that correct, and for each request of those that tell likeness. The first is about the best on prompts
# that were not trained on (100 and 300 do as well, 10 and 1000 worse). The second is the least at which no data set that is
# left out is told apart worse than by the signs alone; 0.02 is not enough (LLMRouter).
L2, LIKENESS_L2 = 150.0, 0.03
# L-BFGS stops after so many steps, or when one gains less than this of the loss: close enough to the least that another order
# of the sums ends in the same bytes, or nearly.
STEPS, LEAST = 600, 1e-8
# The outcomes of a prompt are not independent: they count as so many, however many models answered it.
OUTCOMES = 6.0
# As crates/routing/src/task/trained.rs bounds the correction.
MOST = 0.4
# As crates/routing/src/task/features.rs has them: what depends on more than the prompt is not learned from.
MEANING_CONTEXT, INSTRUCTIONS = 11, 18
# Kinds of LLMRouter's prompts that are scored alike (right or wrong), so that one ability holds for all of a kind. The
# others, scored by overlap with one wording, have abilities of their own: what is hard there may be the wording.
KINDS = {
    "choice": ("agentverse-logicgrid", "arc_challenge", "commonsense_qa", "gpqa", "mmlu", "openbook_qa"),
    "number": ("agentverse-mgsm", "gsm8k", "math"),
    "code": ("human_eval", "mbpp"),
}
# The scale: what the catalog says of these models, and what ZeroEval's outcomes alone say of the others beside them.
ANCHORS = {
    "gpt-4o-2024-05-13": 0.50, "gpt-4o-2024-08-06": 0.50, "gpt-4o-mini-2024-07-18": 0.43,
    "llama-3.1-70b-instruct": 0.435, "llama-3.1-8b-instruct": 0.320,
}  # fmt: skip
ANCHOR_WEIGHT = 30.0
# What every other ability is expected to be, and how much that counts. In log-odds, as all abilities here.
ABILITY, ABILITY_WEIGHT = 3.2, 0.5


class Matrix(tasks.Matrix):
    def __init__(self, prompts: list[tuple[Array, Array]]):
        super().__init__(prompts, rows=ROWS)


class DataSet:
    """Prompts with the scores of all models, NaN where one was not asked."""

    def __init__(self, name: str, rows: list[dict[str, object]]):
        self.name = name
        self.prompts = [str(row["prompt"]) for row in rows]
        self.models = sorted({model for row in rows for model in row["models"]})  # type: ignore[attr-defined]
        known = [[row["models"].get(model) for model in self.models] for row in rows]  # type: ignore[attr-defined]
        self.scores = np.array([[np.nan if one is None else one["score"] for one in row] for row in known])
        kinds = {group: kind for kind, groups in KINDS.items() for group in groups}
        groups = [str(row["group"]) for row in rows]
        self.groups = np.array(groups)
        self.kinds = np.array([kinds.get(group, group) if name == "llmrouter" else name for group in groups])
        self.held = np.array([row["split"] == "test" for row in rows])
        self.columns, self.prior, self.signs = features(self.prompts)
        self.anchored = name != "llmrouter"


def features(prompts: list[str]) -> tuple[list[tuple[Array, Array]], Array, Array]:
    """For each prompt the columns and values of its features, the difficulty that the signs alone forecast, and the same
    without what the words say that are looked for."""
    command = "cargo run --quiet --profile ci --locked -p tokenrouter-routing --example difficulty_features".split()
    lines = "\n".join(map(json.dumps, prompts)).encode()
    raw = subprocess.run(command, cwd=ROOT, input=lines, stdout=subprocess.PIPE, check=True).stdout
    numbers, made, signs, at = np.frombuffer(raw, "<u4"), [], [], 0
    for _ in prompts:
        count = int(numbers[at])
        signs.append(numbers[at + 1 : at + 3].view("<f4"))
        both = numbers[at + 3 : at + 3 + 2 * count]
        groups, rows, values = both[0::2] >> 24, both[0::2] & 0xFFFFFF, both[1::2].view("<f4")
        own = (groups != MEANING_CONTEXT) & (groups < INSTRUCTIONS)
        rows = np.where(rows < HASHED, rows // 2, rows - HASHED // 2)
        columns, places = np.unique(rows[own], return_inverse=True)
        made.append((columns.astype(np.int64), np.bincount(places, weights=values[own], minlength=len(columns))))
        at += 3 + 2 * count
    prior, words = np.array(signs, float).T
    return made, prior, prior - words


def learnable(sets: list[DataSet]) -> list[Array]:
    """Of each data set the rows that are not kept apart, nor near to one that is."""

    def sequences(prompt: str) -> set[str]:
        words = "".join(c if c.isalnum() else " " for c in prompt.lower()).split()
        return {" ".join(words[i : i + 6]) for i in range(max(1, len(words) - 5))}

    found = [[sequences(prompt) for prompt in each.prompts] for each in sets]
    times = Counter(sequence for each in found for of_one in each for sequence in of_one)
    apart = {sequence for each, had in zip(sets, found) for held, of_one in zip(each.held, had) if held for sequence in of_one}

    def is_near(of_one: set[str]) -> bool:
        # What more have in common is the frame that a benchmark puts around its prompts.
        rare = [sequence for sequence in of_one if times[sequence] <= 4]
        return bool(rare) and 2 * sum(sequence in apart for sequence in rare) >= len(rare)

    return [np.array([i for i, of_one in enumerate(had) if not each.held[i] and not is_near(of_one)]) for each, had in zip(sets, found)]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class Trained:
    """harder = features · weights + slope · signs + offset; the weight of it = sigmoid(features · like + like_offset)."""

    def __init__(self, weights: Array, slope: float, offset: float, like: Array, like_offset: float):
        self.weights, self.slope, self.offset, self.like, self.like_offset = weights, slope, offset, like, like_offset

    def of(self, columns: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        """What the features say of the difficulty, and the weight of it."""
        sums = Matrix(columns).times(np.stack([self.weights, self.like], axis=1))
        return sums[:, 0] + self.offset, sigmoid(sums[:, 1] + self.like_offset)

    def difficulty(self, columns: list[tuple[Array, Array]], prior: Array, signs: Array) -> Array:
        harder, weight = self.of(columns)
        return np.clip(prior + weight * np.clip(harder + self.slope * signs, -MOST, MOST), 0.02, 0.98)


def tells(matrix: Matrix) -> Array:
    """1 for each row of the table that some prompts have and some have not. What all have, such as that there are no
    instructions, is in the offset: a request may lack it."""
    return np.bincount(matrix.columns, minlength=ROWS) < len(matrix.starts) - 1


def fit_difficulty(sets: list[DataSet], use: list[Array]) -> tuple[Array, float, float]:
    """Weights, slope and offset, in the units of the gateway's difficulty."""
    matrix = Matrix([each.columns[i] for each, rows in zip(sets, use) for i in rows])
    told = tells(matrix)
    prior = np.concatenate([each.prior[rows] for each, rows in zip(sets, use)])
    signs = np.concatenate([each.signs[rows] for each, rows in zip(sets, use)])
    blocks, start, width, expected, held = [], 0, 0, [], []
    for each, rows in zip(sets, use):
        kinds, kind = np.unique(each.kinds[rows], return_inverse=True)
        scores = each.scores[rows]
        known = ~np.isnan(scores)
        counts = np.where(known, OUTCOMES / np.maximum(known.sum(axis=1, keepdims=True), 1), 0)
        blocks.append((slice(start, start + len(rows)), slice(width, width + len(kinds) * len(each.models)), kind, np.nan_to_num(scores), counts))
        start, width = start + len(rows), width + len(kinds) * len(each.models)
        anchors = [ANCHORS.get(model.lower().removeprefix("meta-")) if each.anchored else None for model in each.models] * len(kinds)
        expected += [ABILITY if anchor is None else STEEPNESS * anchor for anchor in anchors]
        held += [ABILITY_WEIGHT if anchor is None else ANCHOR_WEIGHT for anchor in anchors]
    wanted, strength = np.array(expected), np.array(held)

    def loss(all_of_it: Array) -> tuple[float, Array]:
        weights, (slope, offset), abilities = all_of_it[:ROWS], all_of_it[ROWS : ROWS + 2], all_of_it[ROWS + 2 :]
        difficulty = matrix.times(weights[:, None])[:, 0] + STEEPNESS * (prior + slope * signs) + offset
        value, by_difficulty, by_ability = 0.0, np.zeros(len(prior)), np.zeros(len(abilities))
        for rows, columns, kind, scores, counts in blocks:
            of_kind = abilities[columns].reshape(kind.max() + 1 if len(kind) else 0, scores.shape[1])
            logits = of_kind[kind] - difficulty[rows, None]
            value += float((counts * (np.logaddexp(0, logits) - scores * logits)).sum())
            off = counts * (sigmoid(logits) - scores)
            by_difficulty[rows] = -off.sum(axis=1)
            sums = np.zeros_like(of_kind)
            np.add.at(sums, kind, off)
            by_ability[columns] = sums.ravel()
        apart = abilities - wanted
        value += 0.5 * L2 * float(weights @ weights) + 0.5 * float(strength @ apart**2)
        by_weight = told * matrix.transposed_times(by_difficulty[:, None])[:, 0] + L2 * weights
        numbers = [STEEPNESS * (by_difficulty @ signs), by_difficulty.sum()]
        return value, np.concatenate([by_weight, numbers, by_ability + strength * apart])

    found = tasks.minimise(loss, np.concatenate([np.zeros(ROWS + 2), wanted]), STEPS, LEAST)
    return found[:ROWS] / STEEPNESS, float(found[ROWS]), float(found[ROWS + 1] / STEEPNESS)


def fit_likeness(sets: list[DataSet], use: list[Array], requests: list[tuple[Array, Array]]) -> tuple[Array, float]:
    """Weights and offset of what tells prompts of the benchmarks from requests, either side counting as much in all."""
    inside = [each.columns[i] for each, rows in zip(sets, use) for i in rows]
    matrix = Matrix(inside + requests)
    told, held = tells(matrix), LIKENESS_L2 * len(requests)
    target = np.repeat([1.0, 0.0], [len(inside), len(requests)])
    counts = np.repeat([len(requests) / len(inside), 1.0], [len(inside), len(requests)])

    def loss(weights: Array) -> tuple[float, Array]:
        logits = matrix.times(weights[:ROWS, None])[:, 0] + weights[ROWS]
        off = counts * (sigmoid(logits) - target)
        value = float(counts @ (np.logaddexp(0, logits) - target * logits)) + 0.5 * held * float(weights[:ROWS] @ weights[:ROWS])
        return value, np.append(told * matrix.transposed_times(off[:, None])[:, 0] + held * weights[:ROWS], off.sum())

    found = tasks.minimise(loss, np.zeros(ROWS + 1), STEPS, LEAST)
    return found[:ROWS], float(found[ROWS])


def train(sets: list[DataSet], use: list[Array], requests: list[tuple[Array, Array]]) -> Trained:
    return Trained(*fit_difficulty(sets, use), *fit_likeness(sets, use, requests))


def requests_of_all_kinds() -> list[tuple[Array, Array]]:
    wishes = tasks.read("wishes")
    rows = tasks.read("prompts") + tasks.read("short") + tasks.noise() + tasks.with_data(wishes, tasks.SEED) + tasks.with_data(wishes, 1)
    return features([row["prompt"] for row in rows])[0]


def rounded(trained: Trained) -> bytes:
    """`TRD1`, for each region the scales of both weights, then likeness' offset, slope, offset (f32); a pair of bytes a row."""
    table, scales, at = np.stack([trained.weights, trained.like], axis=1), [], 0
    out = np.zeros(table.shape, np.int8)
    for size in REGIONS:
        scale = np.maximum(np.abs(table[at : at + size]).max(axis=0), 1e-9).astype(np.float32) / np.float32(127)
        out[at : at + size] = np.rint(table[at : at + size] / scale)
        scales.append(scale)
        at += size
    numbers = [*np.array(scales).T.ravel(), trained.like_offset, trained.slope, trained.offset]
    return struct.pack(f"<4s{len(numbers)}f", b"TRD1", *numbers) + out.tobytes()


def unrounded(raw: bytes) -> Trained:
    count = 2 * len(REGIONS) + 3
    numbers = np.array(struct.unpack_from(f"<{count}f", raw, 4))
    table = np.frombuffer(raw, np.int8, offset=4 + 4 * count).reshape(ROWS, 2)
    scales = np.repeat(numbers[: 2 * len(REGIONS)].reshape(2, -1).T, REGIONS, axis=0)
    like_offset, slope, offset = numbers[-3:]
    return Trained(table[:, 0] * scales[:, 0], float(slope), float(offset), table[:, 1] * scales[:, 1], float(like_offset))


def golden(trained: Trained) -> str:
    """Requests with what numpy makes of them, to hold the gateway's sums against. None of the benchmarks' text is here."""
    prompts = [row["prompt"] for row in tasks.read("test")[::5]] + ["x", "?", "🙂 ok", "ＡＢＣ？", "a" * 9000, "नमस्ते।"]
    columns, _, signs = features(prompts)
    harder, weight = trained.of(columns)
    harder = np.clip(harder + trained.slope * signs, -MOST, MOST) * weight
    rows = zip(prompts, signs, harder, weight)
    made = [{"prompt": p, "signs": round(float(d), 4), "harder": round(float(h), 4), "weight": round(float(w), 4)} for p, d, h, w in rows]
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def abilities(difficulty: Array, scores: Array) -> Array:
    """At which the mean of what is expected is the mean of the scores, for each model."""
    low, high = np.full(scores.shape[1], -1.0), np.full(scores.shape[1], 2.0)
    for _ in range(30):
        middle = (low + high) / 2
        below = sigmoid(STEEPNESS * (middle - difficulty[:, None])).mean(axis=0) < scores.mean(axis=0)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def apgr(strong: Array, weak: Array, worth: Array) -> float:
    """As crates/evaluation/src/pair.rs has it."""
    order = np.argsort(-worth, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(worth[order]) != 0))
    gains = np.add.reduceat((strong - weak)[order], begins) / (strong - weak).sum()
    shares = np.diff(np.append(begins, len(worth))) / len(worth)
    return float(shares @ (np.cumsum(gains) - gains / 2))


def quality(scores: Array, difficulty: Array) -> tuple[float, float]:
    """The mean log-loss, and the mean APGR of all pairs of models that are 0.05 apart, each model known by its mean alone."""
    able = abilities(difficulty, scores)
    logits = STEEPNESS * (able - difficulty[:, None])
    expected, means = sigmoid(logits), scores.mean(axis=0)
    pairs = [(s, w) for s in range(len(means)) for w in range(len(means)) if means[s] - means[w] > 0.05]
    each = [apgr(scores[:, s], scores[:, w], expected[:, s] - expected[:, w]) for s, w in pairs]
    return float((np.logaddexp(0, logits) - scores * logits).mean()), float(np.mean(each)) if each else 0.5


def report(name: str, of: DataSet, rows: Array, trained: Trained) -> None:
    rows = rows[~np.isnan(of.scores[rows]).any(axis=1)]
    columns = [of.columns[i] for i in rows]
    both = [quality(of.scores[rows], d) for d in (of.prior[rows], trained.difficulty(columns, of.prior[rows], of.signs[rows]))]
    told = "  ".join(f"{what} {signs:.4f} -> {learned:.4f}" for what, signs, learned in zip(("log-loss", "APGR"), *both))
    print(f"{name}: {len(rows)} prompts, weight {trained.of(columns)[1].mean():.2f}, signs -> learned: {told}")


def measure(sets: list[DataSet], use: list[Array], requests: list[tuple[Array, Array]], trained: Trained) -> None:
    for each in sets:
        report(f"{each.name}, kept apart", each, np.flatnonzero(each.held), trained)
    for name in tasks.APART:
        weight = trained.of(features([row["prompt"] for row in tasks.read(name)])[0])[1]
        print(f"requests ({name}): weight {weight.mean():.2f}, above a half of {(weight > 0.5).mean():.0%}")

    def leave_out(name: str, of: DataSet, is_out: Callable[[DataSet], Array]) -> None:
        rest = [rows[~is_out(each)[rows]] for each, rows in zip(sets, use)]
        report(f"without {name}", of, np.flatnonzero(is_out(of)), train(sets, rest, requests))

    for out in sets:
        leave_out(out.name, out, lambda each, out=out: np.full(len(each.prompts), each is out))  # type: ignore[misc]
    for out in sets:
        for group in np.unique(out.groups):
            leave_out(f"{out.name} {group}", out, lambda each, out=out, group=group: (each.groups == group) & (each is out))  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="train anew and compare; write nothing")
    parser.add_argument("--report", action="store_true", help="measure the weights that are there, and train without each data set and group")
    arguments = parser.parse_args()
    sets = [DataSet(make.__name__, make(arguments.folder)) for make in (outcomes.mmlupro, outcomes.zeroeval, outcomes.llmrouter)]
    use, requests = learnable(sets), requests_of_all_kinds()
    if arguments.report:
        measure(sets, use, requests, unrounded(WEIGHTS.read_bytes()))
        return
    trained = train(sets, use, requests)
    if arguments.check:
        known = unrounded(WEIGHTS.read_bytes())
        pairs = ((trained.weights, known.weights), (trained.like, known.like))
        apart = max(np.abs(new - old).max() / np.abs(old).max() for new, old in pairs)
        print(f"largest difference: {apart:.2%} of the largest weight")
        numbers = ((trained.slope, known.slope), (trained.offset, known.offset), (trained.like_offset, known.like_offset))
        print("slope, offset, offset of likeness, new and old: " + ", ".join(f"{new:.4f} {old:.4f}" for new, old in numbers))
        new, old = json.loads(golden(unrounded(rounded(trained)))), json.loads(golden(known))
        moved = max(abs(a[name] - b[name]) for a, b in zip(new, old) for name in ("harder", "weight"))
        print(f"largest difference on the golden prompts: {moved:.4f}")
        if stale := GOLDEN.read_text(encoding="utf-8") != golden(known):
            print(f"{GOLDEN.name} is not what the weights in the repository give")
        sys.exit(bool(apart > 0.02 or moved > 0.01 or max(abs(new - old) for new, old in numbers) > 0.01 or stale))
    WEIGHTS.write_bytes(rounded(trained))
    GOLDEN.write_text(golden(unrounded(WEIGHTS.read_bytes())), encoding="utf-8")
    print(f"learned from {sum(map(len, use))} prompts of {len(sets)} data sets; {WEIGHTS.stat().st_size} bytes; slope {trained.slope:.3f}")
    for each in sets:
        report(f"{each.name}, kept apart", each, np.flatnonzero(each.held), unrounded(WEIGHTS.read_bytes()))


if __name__ == "__main__":
    main()

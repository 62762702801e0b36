"""Trains the recogniser of tasks: data/tasks/*.jsonl -> crates/routing/data/tasks.bin, with a golden file beside it.

    python scripts/train_tasks.py            # five folds, then the weights (some minutes on two cores)
    python scripts/train_tasks.py --check    # that the weights in the repository come out again
    python scripts/train_tasks.py --report   # what the weights in the repository do on the test set and the fresh one

A softmax regression with L2 on features that the gateway's own code makes (crates/routing/examples/task_features.rs),
fitted by L-BFGS, calibrated by one temperature on the folds, and rounded to one byte a weight. Nothing is drawn by
chance but the folds, nonsense, data, and which text is put beside a wish that has none, all from a fixed seed. Needs numpy
(tests/requirements.txt) and cargo.
"""

import argparse
import base64
import json
import os
import random
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Read when numpy is loaded: with another number of threads sums come in another order, and the weights end elsewhere.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data" / "tasks"
WEIGHTS = ROOT / "crates" / "routing" / "data" / "tasks.bin"
GOLDEN = ROOT / "crates" / "routing" / "data" / "tasks_golden.json"
# In the order of `Task::ALL`.
TASKS = "coding math reasoning writing summarization translation extraction classification qa chat".split()
# As in crates/routing/src/task/features.rs: rows of hashes, of meanings, of shapes.
REGIONS = (1 << 14, 64 * 5, 192)
ROWS = sum(REGIONS)
# Kept apart: never trained on, and what is tuned is tuned on the folds of the rest.
APART = ("test", "fresh")
L2 = 0.5
# What a wish with a text put beside it counts, and a row of nonsense, whose target is no task more than another.
WISH_WEIGHT, NOISE_WEIGHT = 1.0, 0.3
NOISE_ROWS = 200
# Data that nobody reads, alone, and beside wishes.
OPAQUE_ROWS, WISHES_WITH_DATA = 300, 400
FOLDS = 5
SEED = 20261125

Row = dict[str, Any]
Array = np.ndarray[Any, Any]


def read(name: str) -> list[Row]:
    with (DATA / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def given_texts(rows: list[Row]) -> dict[str, list[str]]:
    """The texts that prompts of each task are about: what comes after the first empty line."""
    texts: dict[str, list[str]] = {task: [] for task in TASKS}
    for row in rows:
        wish, _, text = row["prompt"].partition("\n\n")
        if len(text) > max(60, len(wish)):
            texts[row["task"]].append(text)
    return texts


def with_texts(wishes: list[Row], rows: list[Row], seed: int) -> list[Row]:
    """Puts a text beside each wish that says where one belongs (`"text": "before"` or `"after"`): of the same task
    where the text tells the task, else of any whose texts are prose."""
    chance = random.Random(seed)
    texts = given_texts(rows)
    prose = [text for task in TASKS if task not in ("coding", "math") for text in texts[task]]
    made = []
    for row in wishes:
        wish, task = row["prompt"], row["task"]
        if place := row.get("text"):
            own = task in ("coding", "math", "reasoning") or chance.random() < 0.4
            text = chance.choice(texts[task] if own and texts[task] else prose)
            between = chance.choice(["\n\n", "\n\n", "\n", " "])
            if between == " ":
                text = '"' + text.split("\n")[0] + '"'
            if place == "after" and wish[-1] not in ".:?!" and chance.random() < 0.5:
                wish += ":"
            wish = wish + between + text if place == "after" else text + between + wish
        if chance.random() < 0.3:
            wish = wish[0].upper() + wish[1:]
        made.append(row | {"prompt": wish})
    return made


def noise() -> list[Row]:
    """Texts that ask for nothing: of these the recogniser is to be unsure."""
    chance = random.Random(SEED)
    alphabets = ["abcdefghijklmnopqrstuvwxyz", "0123456789", "абвгдежзийклмнопрстуфхцчшщ", "{}[]()<>;:=+-*/&|!?.,\"'"]
    alphabets += ["".join(chr(first + i) for i in range(60)) for first in (0x4E00, 0x0E01, 0x10A0, 0x1200, 0x1F600)]
    rows = []
    for _ in range(NOISE_ROWS):
        letters = chance.choice(alphabets)
        words = ("".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(chance.randint(1, 30)))
        rows.append({"prompt": " ".join(words)})
    return rows + [{"prompt": opaque(chance)} for _ in range(OPAQUE_ROWS)]


def opaque(chance: random.Random) -> str:
    """Data such as is pasted: tokens, hashes, identifiers, tables of numbers, lines of a log, one letter again and again."""

    def name() -> str:
        return "".join(chance.choices("abcdefghijklmnoprstuvwy", k=chance.randint(2, 8)))

    def encoded(least: int, most: int) -> str:
        return base64.urlsafe_b64encode(chance.randbytes(chance.randint(least, most))).decode().rstrip("=")

    def token() -> str:
        parts = [json.dumps({name(): name(), name(): chance.randint(0, 10**9)}).encode(), chance.randbytes(chance.randint(20, 700))]
        head = base64.urlsafe_b64encode(json.dumps({"alg": chance.choice(["HS256", "RS256"]), "typ": "JWT"}, separators=(",", ":")).encode())
        return ".".join(part.decode().rstrip("=") for part in (head, *map(base64.urlsafe_b64encode, parts)))

    def lines(one: Callable[[], str], least: int = 1) -> str:
        return "\n".join(one() for _ in range(chance.randint(least, 50)))

    def wrapped() -> str:
        text = base64.b64encode(chance.randbytes(chance.randint(20, 1500))).decode()
        return "\n".join(text[i : i + 64] for i in range(0, len(text), 64)) if chance.random() < 0.3 else text

    def table() -> str:
        columns, between = chance.randint(2, 9), chance.choice([",", ",", ",", ";", "\t", " "])
        digits = chance.randint(1, 6)

        def row() -> str:
            cells = [str(chance.randint(0, 10**digits)) for _ in range(columns)]
            if chance.random() < 0.2:
                cells[0] = f"{chance.randint(1, 28):02}.{chance.randint(1, 12):02}.{chance.randint(1990, 2030)}"
            return between.join(cells)

        head = between.join([chance.choice(["id", name()]), *(name() for _ in range(columns - 1))]) + "\n"
        return (head if chance.random() < 0.6 else "") + lines(row, 3)

    def log() -> str:
        levels, start = ["INFO", "WARN", "ERROR", "DEBUG"], chance.randint(1_700_000_000, 1_800_000_000)
        names = [name() for _ in range(3)]
        stamp = f"20{chance.randint(10, 40)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T"

        def line() -> str:
            at = chance.choice([str(start + chance.randint(0, 9999)), f"{stamp}{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:07Z"])
            fields = [f"{each}={chance.choice([chance.randint(0, 999), f'{chance.getrandbits(64):016x}'])}" for each in names]
            return " ".join([at, chance.choice(levels), *fields])

        return lines(line, 3)

    def again() -> str:
        letter = chance.choice("abcdefghijklmnopqrstuvwxyzABXZабвяאあ日ทक0123456789-=_.#*!?")
        unit = letter if chance.random() < 0.7 else letter + chance.choice("aehiou01.-/ ")
        return unit * int(2 ** chance.uniform(2.5, 13))

    def numbers() -> str:
        return json.dumps([{name(): chance.randint(0, 9999) for _ in range(3)} for _ in range(chance.randint(1, 30))])

    def path() -> str:
        return f"https://{name()}.example/" + "/".join(chance.choice([name(), name()[:1], encoded(2, 20)]) for _ in range(chance.randint(1, 45)))

    kinds: list[Callable[[], str]] = [
        wrapped,
        lambda: encoded(10, 1500),
        token,
        lambda: chance.randbytes(chance.randint(4, 1000)).hex(),
        lambda: lines(lambda: str(uuid.UUID(int=chance.getrandbits(128)))),
        table,
        table,
        log,
        again,
        again,
        again,
        numbers,
        path,
        lambda: lines(lambda: f"+{chance.randint(1, 99)} {chance.randint(10, 999)} {chance.randint(10**5, 10**8)}"),
    ]
    return chance.choice(kinds)()


def with_data(wishes: list[Row], seed: int) -> list[Row]:
    """Wishes on a text, before or after data as `opaque` makes them: what is wished is the task still."""
    chance = random.Random(seed + 1)
    on_a_text = [row for row in wishes if row.get("text")]
    made = []
    for row in chance.choices(on_a_text, k=WISHES_WITH_DATA):
        wish, data, between = row["prompt"], opaque(chance), chance.choice(["\n\n", "\n\n", "\n"])
        if chance.random() < 0.5:
            wish = wish[0].upper() + wish[1:]
        made.append(row | {"prompt": data + between + wish if chance.random() < 0.5 else wish + between + data})
    return made


class Matrix:
    """A sparse matrix, a row for each prompt."""

    def __init__(self, prompts: Iterable[tuple[Array, Array]]):
        columns, values = zip(*prompts)
        counts = np.array([len(row) for row in columns])
        self.starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.columns, self.values = np.concatenate(columns), np.concatenate(values)
        rows = np.repeat(np.arange(len(counts)), counts)
        order = np.argsort(self.columns, kind="stable")
        self.by_column_rows, self.by_column_values = rows[order], self.values[order]
        self.used, self.column_starts = np.unique(self.columns[order], return_index=True)

    def times(self, weights: Array) -> Array:
        return np.add.reduceat(weights[self.columns] * self.values[:, None], self.starts, axis=0)

    def transposed_times(self, residuals: Array) -> Array:
        out = np.zeros((ROWS, residuals.shape[1]))
        products = residuals[self.by_column_rows] * self.by_column_values[:, None]
        out[self.used] = np.add.reduceat(products, self.column_starts, axis=0)
        return out


def features(rows: list[Row]) -> list[tuple[Array, Array]]:
    """The columns and values of each prompt, from the gateway's own code."""
    command = "cargo run --quiet --profile ci --locked -p tokenrouter-routing --example task_features".split()
    lines = [json.dumps({key: row[key] for key in ("prompt", "instructions") if key in row}) for row in rows]
    raw = subprocess.run(command, cwd=ROOT, input="\n".join(lines).encode(), stdout=subprocess.PIPE, check=True).stdout
    numbers, made, at = np.frombuffer(raw, "<u4"), [], 0
    for _ in rows:
        count = int(numbers[at])
        both = numbers[at + 1 : at + 1 + 2 * count]
        columns, places = np.unique(both[0::2] & 0xFFFFFF, return_inverse=True)
        made.append((columns.astype(np.int64), np.bincount(places, weights=both[1::2].view("<f4"))))
        at += 1 + 2 * count
    return made


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit(matrix: Matrix, targets: Array, counts: Array, steps: int = 80) -> Array:
    """Least sum of counted cross-entropies plus L2/2 of the squared weights, by L-BFGS. The last row is the bias."""

    def loss(weights: Array) -> tuple[float, Array]:
        logits = matrix.times(weights[:ROWS]) + weights[ROWS]
        top = logits.max(axis=1, keepdims=True)
        sums = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        entropy = counts @ (sums - (targets * logits).sum(axis=1))
        residuals = (softmax(logits) - targets) * counts[:, None]
        slope = np.concatenate([matrix.transposed_times(residuals), residuals.sum(axis=0)[None]])
        held = L2 * weights
        held[ROWS] *= 0.01
        return float(entropy + 0.5 * (held * weights).sum()), slope + held

    return minimise(loss, np.zeros((ROWS + 1, len(TASKS))), steps)


def minimise(loss: Callable[[Array], tuple[float, Array]], weights: Array, steps: int, least: float = 1e-4) -> Array:
    """By L-BFGS, until a step gains less than `least` of the loss. `loss` gives the loss and its slope."""
    value, slope = loss(weights)
    pairs: list[tuple[Array, Array]] = []
    for _ in range(steps):
        step, factors = slope.copy(), []
        for moved, bent in reversed(pairs):
            factor = (moved * step).sum() / (moved * bent).sum()
            factors.append(factor)
            step -= factor * bent
        step *= (pairs[-1][0] * pairs[-1][1]).sum() / (pairs[-1][1] ** 2).sum() if pairs else 1 / np.abs(slope).max()
        for (moved, bent), factor in zip(pairs, reversed(factors)):
            step += moved * (factor - (bent * step).sum() / (moved * bent).sum())
        size, fall = 1.0, (slope * step).sum()
        while (new := loss(weights - size * step))[0] > value - 1e-4 * size * fall and size > 1e-6:
            size /= 2
        pairs = [*pairs[-7:], (-size * step, new[1] - slope)]
        done = value - new[0] < least * value
        weights, (value, slope) = weights - size * step, new
        if done:
            break
    return weights


def labels(rows: list[Row]) -> Array:
    return np.array([TASKS.index(row["task"]) for row in rows])


def targets(rows: list[Row]) -> Array:
    made = np.full((len(rows), len(TASKS)), 1 / len(TASKS))
    for i, row in enumerate(rows):
        if "task" in row:
            made[i] = np.eye(len(TASKS))[TASKS.index(row["task"])]
    return made


def train(rows: list[Row], seen: list[tuple[Array, Array]], wishes: list[Row], seed: int) -> Array:
    """The weights that `rows`, the wishes with texts of `rows` or data beside them, and nonsense give."""
    more, nonsense = with_texts(wishes, rows, seed) + with_data(wishes, seed), noise()
    matrix = Matrix(seen + features(more + nonsense))
    counts = np.repeat([1.0, WISH_WEIGHT, NOISE_WEIGHT], [len(rows), len(more), len(nonsense)])
    return fit(matrix, targets(rows + more + nonsense), counts)


def log_loss(logits: Array, true: Array, temperature: float) -> float:
    return float(-np.log(softmax(logits / temperature)[np.arange(len(true)), true]).mean())


def calibration_error(chances: Array, true: Array, bins: int = 10) -> float:
    """ECE: how far confidence and share of right answers are apart, over bins of equal width."""
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == true
    place = np.minimum((sure * bins).astype(int), bins - 1)
    parts = [abs(sure[place == i].sum() - right[place == i].sum()) for i in range(bins) if (place == i).any()]
    return float(sum(parts) / len(true))


def rounded(weights: Array) -> bytes:
    """`TRT1`, a scale for each region, a bias for each task (f32), then the rows, a byte a weight."""
    scales, parts, at = [], [], 0
    for size in REGIONS:
        region = weights[at : at + size]
        scale = np.float32(np.abs(region).max() / 127)
        scales.append(scale)
        parts.append(np.rint(region / scale).astype(np.int8))
        at += size
    head = struct.pack(f"<4s{len(REGIONS)}f{len(TASKS)}f", b"TRT1", *scales, *weights[ROWS])
    return head + np.concatenate(parts).tobytes()


def unrounded(raw: bytes) -> Array:
    numbers = len(REGIONS) + len(TASKS)
    head = struct.unpack_from(f"<4s{numbers}f", raw)
    table = np.frombuffer(raw, np.int8, offset=4 + 4 * numbers).reshape(ROWS, len(TASKS))
    scales = np.repeat(np.array(head[1 : 1 + len(REGIONS)]), REGIONS)
    return np.concatenate([table * scales[:, None], np.array(head[1 + len(REGIONS) :])[None]])


def told(weights: Array, rows: list[Row]) -> Array:
    return Matrix(features(rows)).times(weights[:ROWS]) + weights[ROWS]


def report(name: str, rows: list[Row], chances: Array, confusion: bool = False) -> None:
    true, sure = labels(rows), chances.max(axis=1)
    right = chances.argmax(axis=1) == true
    foreign = np.array([row.get("lang", "en") != "en" for row in rows])
    trap = np.array([bool(row.get("trap")) for row in rows])
    fired = sure >= 0.8
    print(
        f"{name}: {len(rows)} prompts, right {right.mean():.1%}, not English {right[foreign].mean():.1%}, "
        f"without traps {right[~trap].mean():.1%}, ECE {calibration_error(chances, true):.3f}; at confidence 0.8 fires "
        f"for {fired.mean():.1%}, wrongly for {(fired & ~right).mean():.1%}"
    )
    if confusion:
        print(" " * 15 + " ".join(task[:6].rjust(6) for task in TASKS) + "   (columns: what was recognised)")
        for i, task in enumerate(TASKS):
            counts = np.bincount(chances[true == i].argmax(axis=1), minlength=len(TASKS))
            print(task.ljust(15) + " ".join(str(count).rjust(6) for count in counts))


def golden(weights: Array) -> str:
    """Prompts of every script and kind with what numpy makes of them, to hold the gateway's scoring against."""
    rows = read("test")
    odd: list[Row] = [{"prompt": text} for text in ("", " ", "?", "\u0301", "🙂 ok", "ＡＢＣ？", "a" * 9000, "İstanbul ß", "नमस्ते।")]
    chosen = odd + rows[:: max(1, len(rows) // 60)]
    chances = softmax(told(weights, chosen))
    made = []
    for row, chance in zip(chosen, chances):
        kept = {key: row[key] for key in ("prompt", "instructions") if key in row}
        made.append(kept | {"chances": [round(float(c), 4) for c in chance]})
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="train anew and compare; write nothing")
    parser.add_argument("--report", action="store_true", help="measure the weights that are there; train nothing")
    arguments = parser.parse_args()

    def measure(weights: Array) -> None:
        for name in APART:
            rows = read(name)
            report(name, rows, softmax(told(weights, rows)), confusion=arguments.report)

    if arguments.report:
        measure(unrounded(WEIGHTS.read_bytes()))
        return
    rows, wishes = read("prompts") + read("short"), read("wishes")
    seen, true = features(rows), labels(rows)
    fold = np.random.default_rng(SEED).integers(0, FOLDS, len(rows))
    logits = np.zeros((len(rows), len(TASKS)))
    if not arguments.check:
        for i in range(FOLDS):
            inside, outside = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
            weights = train([rows[n] for n in inside], [seen[n] for n in inside], wishes, SEED + i)
            logits[outside] = Matrix([seen[n] for n in outside]).times(weights[:ROWS]) + weights[ROWS]
        temperature = min(np.arange(0.5, 2.5, 0.02), key=lambda t: log_loss(logits, true, t))
        print(f"temperature {temperature:.2f}")
        written = [i for i, row in enumerate(rows) if row.get("source") != "short"]
        report("folds", [rows[i] for i in written], softmax(logits[written] / temperature), confusion=True)
    weights = train(rows, seen, wishes, SEED)
    if arguments.check:
        known = unrounded(WEIGHTS.read_bytes())
        scale = float((weights * known).sum() / (known**2).sum())
        apart = np.abs(weights / scale - known).max() / np.abs(known).max()
        print(f"largest difference: {apart:.2%} of the largest weight; temperature {scale:.2f}")
        new, old = json.loads(golden(unrounded(rounded(weights / scale)))), json.loads(golden(known))
        moved = max(abs(a - b) for one, other in zip(new, old) for a, b in zip(one["chances"], other["chances"]))
        print(f"largest difference of a chance on the golden prompts: {moved:.4f}")
        if stale := GOLDEN.read_text(encoding="utf-8") != golden(known):
            print(f"{GOLDEN.name} is not what the weights in the repository give")
        sys.exit(bool(apart > 0.02 or moved > 0.02 or stale))
    WEIGHTS.write_bytes(rounded(weights / temperature))
    weights = unrounded(WEIGHTS.read_bytes())
    GOLDEN.write_text(golden(weights), encoding="utf-8")
    measure(weights)


if __name__ == "__main__":
    main()

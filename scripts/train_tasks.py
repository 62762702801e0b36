"""Trains the recogniser of tasks: data/tasks/*.jsonl -> crates/routing/data/tasks.bin, with a golden file beside it.

    python scripts/train_tasks.py            # five folds, then the weights (some minutes on two cores)
    python scripts/train_tasks.py --check    # that the weights in the repository come out again
    python scripts/train_tasks.py --report   # what the weights in the repository do on the test set and the fresh one

A softmax regression with L2 on features that the gateway's own code makes (crates/routing/examples/task_features.rs) and on
vectors of words, fitted by L-BFGS, calibrated by one temperature on the folds, and rounded to a byte or half a byte a weight. The vectors
(crates/routing/data/task_vectors.bin) come from those of a language model (word_vectors.py): a first fit on these tells which
of their directions say anything of the task; the words that say most and are frequent are kept, put together from two halves
of which there are 256 each. Nothing is drawn by chance but the folds, nonsense, data, the first guess at the halves, and
which text is put beside a wish that has none, all from a fixed seed. Needs scripts/requirements.txt and cargo.
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
from typing import Any, NamedTuple

# Read when numpy is loaded: with another number of threads sums come in another order, and the weights end elsewhere.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import word_vectors  # noqa: E402
from scipy import sparse  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data" / "tasks"
WEIGHTS = ROOT / "crates" / "routing" / "data" / "tasks.bin"
VECTORS = ROOT / "crates" / "routing" / "data" / "task_vectors.bin"
GOLDEN = ROOT / "crates" / "routing" / "data" / "tasks_golden.json"
# In the order of `Task::ALL`.
TASKS = "coding math reasoning writing summarization translation extraction classification qa chat".split()
# As in crates/routing/src/task/features.rs: rows of hashes, of meanings, of shapes.
REGIONS = (1 << 15, 64 * 5, 192)
ROWS = sum(REGIONS)
# Kept apart: never trained on, and what is tuned is tuned on the folds of the rest.
APART = ("test", "fresh")
# As in crates/routing/src/task/vectors.rs: numbers in a vector, halves to choose from, bits of the number of a bucket and of the
# second hash; where words stand, and the number from which on each counts less.
DIMENSIONS, HALVES, BUCKET_BITS, SECOND_BITS, SPOTS, FEW = 16, 256, 13, 8, 10, 8
# Words that have a vector: so many that all weights together stay below 400 KB.
WORDS = 56_500
# What a word's vector counts beside a hash in the first fit, and how far directions in which words differ little are
# stretched: 0 not at all, 0.5 until they differ as much as all others.
VECTOR_WEIGHT, STRETCH = 1.5, 0.35
L2 = 1.0
# The largest weight of a hash that is kept, of the largest there is: weights have 15 steps, and few are larger.
LARGEST = 0.35
# What a wish with a text put beside it counts, and a row of nonsense, whose target is no task more than another.
WISH_WEIGHT, NOISE_WEIGHT = 1.0, 0.3
NOISE_ROWS = 300
# Data that nobody reads, alone, and beside wishes.
OPAQUE_ROWS, WISHES_WITH_DATA = 500, 600
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


class Seen(NamedTuple):
    """What is seen of a prompt: columns and values of the table, and words that may have a vector, by spot and hash."""

    columns: Array
    values: Array
    spots: Array
    hashes: Array


class Matrix:
    """A sparse matrix, a row for each prompt, with some dense columns after it."""

    def __init__(self, prompts: Iterable[tuple[Array, ...]], dense: Array | None = None, rows: int = ROWS):
        columns, values = zip(*(each[:2] for each in prompts))
        self.starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
        self.columns, self.values = np.concatenate(columns), np.concatenate(values)
        self.sparse = sparse.csr_matrix((self.values, self.columns, self.starts), shape=(len(columns), rows))
        self.transposed = self.sparse.T.tocsr()
        self.dense = np.zeros((len(columns), 0)) if dense is None else dense
        self.rows, self.width = rows, rows + self.dense.shape[1]

    def times(self, weights: Array) -> Array:
        return self.sparse @ weights[: self.rows] + self.dense @ weights[self.rows : self.width]

    def transposed_times(self, residuals: Array) -> Array:
        return np.concatenate([self.transposed @ residuals, self.dense.T @ residuals])


def features(rows: list[Row]) -> list[Seen]:
    """What the gateway's own code sees of each prompt."""
    command = "cargo run --quiet --profile ci --locked -p tokenrouter-routing --example task_features".split()
    lines = [json.dumps({key: row[key] for key in ("prompt", "instructions") if key in row}) for row in rows]
    raw = subprocess.run(command, cwd=ROOT, input="\n".join(lines).encode(), stdout=subprocess.PIPE, check=True).stdout
    numbers, made, at = np.frombuffer(raw, "<u4"), [], 0
    for _ in rows:
        count, words = (int(number) for number in numbers[at : at + 2])
        both, after = np.split(numbers[at + 2 : at + 2 + 2 * (count + words)], [2 * count])
        columns, places = np.unique(both[0::2] & 0xFFFFFF, return_inverse=True)
        values = np.bincount(places, weights=both[1::2].view("<f4"))
        made.append(Seen(columns.astype(np.int64), values, after[0::2].astype(np.int64), after[1::2]))
        at += 2 + 2 * (count + words)
    return made


class Vocabulary:
    """Words with their hashes as the gateway reckons them, and their vectors."""

    def __init__(self, words: list[str], frequency: Array, vectors: Array, used: set[int]):
        hashes, chosen = [], []
        for i, seen in enumerate(features([{"prompt": word} for word in words])):
            # Of a word of n letters of a script without spaces all parts have hashes too, at its last letter the longest first.
            found = seen.hashes[seen.spots == 0]
            letters = next((n for n in (2, 3, 4) if n * (n - 1) // 2 == len(found)), 0)
            if len(found) == 1 or letters:
                hashes.append(int(found[-1 if len(found) == 1 else 1 - letters]))
                chosen.append(i)
        self.hashes, first = np.unique(np.array(hashes, np.uint32), return_index=True)
        chosen = np.array(chosen)[first]
        self.frequency = frequency[chosen]
        self.common = self.frequency > frequency.min()
        apart = vectors[chosen] - vectors.mean(axis=0)
        apart /= np.linalg.norm(apart, axis=1, keepdims=True)
        met = apart[np.isin(self.hashes, np.fromiter(used, np.uint32))]
        spread, directions = np.linalg.eigh(np.cov(met.T, bias=True).astype(float))
        spread = np.maximum(spread, 0.1 * np.median(spread))
        self.vectors = (apart @ (directions / spread**STRETCH)).astype(np.float32)
        self.vectors *= VECTOR_WEIGHT / (self.vectors.std() * np.sqrt(self.vectors.shape[1]))

    def places(self, hashes: Array) -> Array:
        """The numbers of words, -1 where there is none of that hash."""
        found = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[found] == hashes, found, -1)


def by_spot(seen: list[Seen], number: Callable[[Array], Array], vectors: Array) -> Array:
    """For each prompt and spot the sum of the vectors of its words, less for each where they are many."""
    numbers = number(np.concatenate([each.hashes for each in seen]))
    rows = np.concatenate([np.full(len(each.hashes), i) * SPOTS + each.spots for i, each in enumerate(seen)])[numbers >= 0]
    numbers = numbers[numbers >= 0]
    counts = np.maximum(np.bincount(rows, minlength=len(seen) * SPOTS), FEW)
    matrix = sparse.csr_matrix((1 / np.sqrt(counts[rows]), (rows, numbers)), shape=(len(seen) * SPOTS, len(vectors)))
    return (matrix @ vectors).astype(float).reshape(len(seen), -1)


class Table:
    """The words that have a vector, by their keys, and the vectors."""

    def __init__(self, halves: Array, keys: Array, codes: Array):
        self.halves, self.keys, self.codes = halves, keys, codes
        self.numbers = np.full(1 << (BUCKET_BITS + SECOND_BITS), -1)
        self.numbers[keys] = np.arange(len(keys))
        self.vectors = np.concatenate([halves[half][codes[:, half]] for half in (0, 1)], axis=1).astype(np.float32)

    @staticmethod
    def key(hashes: Array) -> Array:
        mixed = (hashes.astype(np.uint64) * 0x9E3779B1) & 0xFFFFFFFF
        return ((mixed >> (32 - BUCKET_BITS) << SECOND_BITS) | (mixed & ((1 << SECOND_BITS) - 1))).astype(np.int64)

    def of(self, seen: list[Seen]) -> Array:
        return by_spot(seen, lambda hashes: self.numbers[self.key(hashes)], self.vectors)

    def bytes(self) -> bytes:
        starts = np.searchsorted(self.keys, np.arange((1 << BUCKET_BITS) + 1) << SECOND_BITS)
        parts = [self.halves.astype(np.int8), starts.astype("<u2"), (self.keys & 0xFF).astype(np.uint8), self.codes.astype(np.uint8)]
        return b"TRV1" + b"".join(part.tobytes() for part in parts)

    @classmethod
    def read(cls, raw: bytes) -> "Table":
        half = DIMENSIONS // 2
        halves = np.frombuffer(raw, np.int8, 2 * HALVES * half, 4).reshape(2, HALVES, half)
        at = 4 + halves.size
        starts = np.frombuffer(raw, "<u2", (1 << BUCKET_BITS) + 1, at).astype(np.int64)
        at += 2 * len(starts)
        words = int(starts[-1])
        keys = np.repeat(np.arange(1 << BUCKET_BITS) << SECOND_BITS, np.diff(starts)) | np.frombuffer(raw, np.uint8, words, at)
        return cls(halves, keys, np.frombuffer(raw, np.uint8, offset=at + words).reshape(words, 2))


def clusters(vectors: Array, counts: Array, count: int, seed: int) -> tuple[Array, Array]:
    """K-means: the centres, and which of them each vector is nearest to."""
    centres = vectors[np.random.default_rng(seed).choice(len(vectors), count, replace=False, p=counts / counts.sum())].copy()
    for step in range(16):
        nearest = np.argmin((centres**2).sum(axis=1) - 2 * vectors @ centres.T, axis=1)
        if step == 15:
            break
        sums = np.bincount(nearest, weights=counts, minlength=count)
        for i in range(vectors.shape[1]):
            means = np.bincount(nearest, weights=counts * vectors[:, i], minlength=count) / np.maximum(sums, 1e-9)
            centres[:, i] = np.where(sums > 0, means, centres[:, i])
    return centres, nearest


def table_of(vocabulary: Vocabulary, weights: Array, known: Array, met: Array) -> tuple[Table, Array]:
    """Vectors of the directions that say most of the task, given the weights of a first fit on all directions; and what to
    multiply their numbers by, so that the more a direction says the larger they are. `met` are hashes in prompts."""
    size = vocabulary.vectors.shape[1]
    by_direction = weights.reshape(SPOTS, size, len(TASKS)).transpose(1, 0, 2).reshape(size, -1)
    directions, says, _ = np.linalg.svd(by_direction, full_matrices=False)
    # By what they say, so that the halves err least where it matters.
    vectors = vocabulary.vectors @ (directions[:, :DIMENSIONS] * says[:DIMENSIONS]).astype(np.float32)
    counts = np.exp(0.2 * (vocabulary.frequency - vocabulary.frequency.min()))
    order = np.argsort(-np.linalg.norm(vectors, axis=1) * counts * known, kind="stable")
    keys, first = np.unique(Table.key(vocabulary.hashes)[order], return_index=True)
    # What is no word, such as single letters, is not to be taken for one.
    others, times = np.unique(met[vocabulary.places(met) < 0], return_counts=True)
    free = ~np.isin(keys, Table.key(others[times > 2]))
    keys, first = keys[free], first[free]
    kept = np.sort(np.argsort(first, kind="stable")[: min(WORDS, int(known.sum()))])
    keys, chosen = keys[kept], order[first[kept]]
    # Every other direction, so that both halves say about as much; each to its own scale, which the weights take back.
    chosen_vectors = np.concatenate([vectors[chosen, 0::2], vectors[chosen, 1::2]], axis=1)
    halves, codes = zip(*(clusters(np.ascontiguousarray(part), counts[chosen], HALVES, SEED) for part in np.split(chosen_vectors, 2, axis=1)))
    both = np.stack(halves)
    units = np.abs(both).max(axis=1, keepdims=True) / 127
    says = np.concatenate([says[:DIMENSIONS:2], says[1:DIMENSIONS:2]])
    return Table(np.rint(both / units), keys, np.stack(codes, axis=1)), np.tile(units.ravel() / np.sqrt(says), SPOTS)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit(matrix: Matrix, targets: Array, counts: Array, steps: int = 80) -> Array:
    """Least sum of counted cross-entropies plus L2/2 of the squared weights, by L-BFGS. The last row is the bias."""

    def loss(weights: Array) -> tuple[float, Array]:
        logits = matrix.times(weights[:-1]) + weights[-1]
        top = logits.max(axis=1, keepdims=True)
        sums = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        entropy = counts @ (sums - (targets * logits).sum(axis=1))
        residuals = (softmax(logits) - targets) * counts[:, None]
        slope = np.concatenate([matrix.transposed_times(residuals), residuals.sum(axis=0)[None]])
        held = L2 * weights
        held[-1] *= 0.01
        return float(entropy + 0.5 * (held * weights).sum()), slope + held

    return minimise(loss, np.zeros((matrix.width + 1, len(TASKS))), steps)


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


class Model(NamedTuple):
    """Weights of the columns of the table, of the numbers of the vectors at each spot, and the bias; and the vectors."""

    weights: Array
    table: Table

    def logits(self, seen: list[Seen]) -> Array:
        return Matrix(seen, self.table.of(seen)).times(self.weights[:-1]) + self.weights[-1]


def train(rows: list[Row], seen: list[Seen], wishes: list[Row], vocabulary: Vocabulary, seed: int) -> Model:
    """What `rows`, the wishes with texts of `rows` or data beside them, and nonsense give."""
    more, nonsense = with_texts(wishes, rows, seed) + with_data(wishes, seed), noise()
    known = vocabulary.common | np.isin(vocabulary.hashes, np.concatenate([each.hashes for each in seen]))
    seen = seen + features(more + nonsense)
    counts = np.repeat([1.0, WISH_WEIGHT, NOISE_WEIGHT], [len(rows), len(more), len(nonsense)])
    wanted = targets(rows + more + nonsense)

    def places(hashes: Array) -> Array:
        found = vocabulary.places(hashes)
        return np.where(known[found], found, -1)

    first = fit(Matrix(seen, by_spot(seen, places, vocabulary.vectors)), wanted, counts)
    table, units = table_of(vocabulary, first[ROWS:-1], known, np.concatenate([each.hashes for each in seen]))
    dense = table.of(seen)
    # So that L2 holds their weights as it does the others: the numbers of a prompt have a norm of about one.
    units /= (dense * units).std() * np.sqrt(dense.shape[1])
    weights = fit(Matrix(seen, dense * units), wanted, counts)
    weights[ROWS:-1] *= units[:, None]
    return Model(weights, table)


def log_loss(logits: Array, true: Array, temperature: float) -> float:
    return float(-np.log(softmax(logits / temperature)[np.arange(len(true)), true]).mean())


def calibration_error(chances: Array, true: Array, bins: int = 10) -> float:
    """ECE: how far confidence and share of right answers are apart, over bins of equal width."""
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == true
    place = np.minimum((sure * bins).astype(int), bins - 1)
    parts = [abs(sure[place == i].sum() - right[place == i].sum()) for i in range(bins) if (place == i).any()]
    return float(sum(parts) / len(true))


def rounded(weights: Array) -> bytes:
    """`TRT3`, a scale for each region, a bias for each task, the weights of the vectors' numbers (f32), then the rows: of hashes
    two weights a byte, with 8 added to each, of the others a byte a weight."""
    hashed, meanings, shapes = np.split(weights[:ROWS], np.cumsum(REGIONS)[:-1])
    scales = [np.float32(np.abs(hashed).max() * LARGEST / 7), *(np.float32(np.abs(part).max() / 127) for part in (meanings, shapes))]
    steps = np.clip(np.rint(hashed / scales[0]), -7, 7).astype(np.int8) + 8
    parts = [steps[:, 0::2] | (steps[:, 1::2] << 4), np.rint(meanings / scales[1]), np.rint(shapes / scales[2])]
    numbers = [*scales, *weights[-1], *weights[ROWS:-1].ravel()]
    return struct.pack(f"<4s{len(numbers)}f", b"TRT3", *numbers) + b"".join(part.astype(np.int8).tobytes() for part in parts)


def unrounded(raw: bytes) -> Array:
    count = len(REGIONS) + (1 + SPOTS * DIMENSIONS) * len(TASKS)
    numbers = np.array(struct.unpack_from(f"<{count}f", raw, 4))
    table = np.frombuffer(raw, np.int8, offset=4 + 4 * count)
    packed = table[: REGIONS[0] * len(TASKS) // 2].reshape(REGIONS[0], -1).view(np.uint8)
    hashed = np.stack([packed & 15, packed >> 4], axis=2).reshape(REGIONS[0], len(TASKS)).astype(float) - 8
    rows = np.concatenate([hashed, table[packed.size :].reshape(-1, len(TASKS))])
    scales, bias, of_vectors = np.split(numbers, [len(REGIONS), len(REGIONS) + len(TASKS)])
    return np.concatenate([rows * np.repeat(scales, REGIONS)[:, None], of_vectors.reshape(-1, len(TASKS)), bias[None]])


def in_repository() -> Model:
    return Model(unrounded(WEIGHTS.read_bytes()), Table.read(VECTORS.read_bytes()))


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


def golden(model: Model) -> str:
    """Prompts of every script and kind with what numpy makes of them, to hold the gateway's scoring against."""
    rows = read("test")
    odd: list[Row] = [{"prompt": text} for text in ("", " ", "?", "\u0301", "🙂 ok", "ＡＢＣ？", "a" * 9000, "İstanbul ß", "नमस्ते।")]
    chosen = odd + rows[:: max(1, len(rows) // 60)]
    chances = softmax(model.logits(features(chosen)))
    made = []
    for row, chance in zip(chosen, chances):
        kept = {key: row[key] for key in ("prompt", "instructions") if key in row}
        made.append(kept | {"chances": [round(float(c), 4) for c in chance]})
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def trained_rows() -> list[Row]:
    return read("prompts") + read("short") + read("wishes")


def check(model: Model) -> bool:
    """Whether the weights in the repository are those of `model`, but for what another order of sums makes of them."""
    known = in_repository()
    # The rows of hashes are cut, so the others tell by which temperature the weights were divided.
    rows = slice(REGIONS[0], ROWS)
    scale = float((model.weights[rows] * known.weights[rows]).sum() / (known.weights[rows] ** 2).sum())
    made = Model(unrounded(rounded(model.weights / scale)), model.table)
    apart = np.abs(made.weights[rows] - known.weights[rows]).max() / np.abs(known.weights[rows]).max()
    shared = np.isin(model.table.keys, known.table.keys).mean()
    print(f"largest difference: {apart:.2%} of the largest weight; words shared: {shared:.2%}; temperature {scale:.2f}")
    new, old = json.loads(golden(made)), json.loads(golden(known))
    moved = max(abs(a - b) for one, other in zip(new, old) for a, b in zip(one["chances"], other["chances"]))
    print(f"largest difference of a chance on the golden prompts: {moved:.4f}")
    if stale := GOLDEN.read_text(encoding="utf-8") != golden(known):
        print(f"{GOLDEN.name} is not what the weights in the repository give")
    return bool(apart < 0.02 and moved < 0.02 and not stale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="train anew and compare; write nothing")
    parser.add_argument("--report", action="store_true", help="measure the weights that are there; train nothing")
    arguments = parser.parse_args()

    def measure(model: Model) -> None:
        for name in APART:
            rows = read(name)
            report(name, rows, softmax(model.logits(features(rows))), confusion=arguments.report)

    if arguments.report:
        measure(in_repository())
        return
    rows, wishes = read("prompts") + read("short"), read("wishes")
    seen, true = features(rows), labels(rows)
    used = {int(hash) for each in seen for hash in each.hashes}
    vocabulary = Vocabulary(*word_vectors.load(trained_rows()), used)
    fold = np.random.default_rng(SEED).integers(0, FOLDS, len(rows))
    logits = np.zeros((len(rows), len(TASKS)))
    if not arguments.check:
        for i in range(FOLDS):
            inside, outside = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
            model = train([rows[n] for n in inside], [seen[n] for n in inside], wishes, vocabulary, SEED + i)
            logits[outside] = model.logits([seen[n] for n in outside])
        temperature = min(np.arange(0.5, 2.5, 0.02), key=lambda t: log_loss(logits, true, t))
        print(f"temperature {temperature:.2f}")
        written = [i for i, row in enumerate(rows) if row.get("source") != "short"]
        report("folds", [rows[i] for i in written], softmax(logits[written] / temperature), confusion=True)
    model = train(rows, seen, wishes, vocabulary, SEED)
    if arguments.check:
        sys.exit(not check(model))
    WEIGHTS.write_bytes(rounded(model.weights / temperature))
    VECTORS.write_bytes(model.table.bytes())
    GOLDEN.write_text(golden(in_repository()), encoding="utf-8")
    measure(in_repository())


if __name__ == "__main__":
    main()

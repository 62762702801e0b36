"""`make kills`: the gateway killed (`kill -9`) a hundred times at random points under load; nothing that was seen is lost.

Each response that a caller saw complete must be in the ledger, once, and be there to be read; the database must be
sound. The same database all the way, so that each start begins with what the kill before left.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import gateway_process as gp  # noqa: E402
from test_durability import Traffic, ledger  # noqa: E402


def problems_of(database: Path, seen: dict[str, str]) -> list[str]:
    """What was seen complete and is missing or there twice; entries of others may be there: their answer was cut."""
    recorded = ledger(database)
    found = [f"{id_}: {recorded[id_]} times in the ledger" for id_ in seen.values() if recorded[id_] != 1]
    found += [f"{id_}: {count} times in the ledger" for id_, count in recorded.items() if count > 1]
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        stored = {row[0] for row in connection.execute("SELECT id FROM responses")}
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    found += [f"{id_}: not stored" for id_ in seen if id_ not in stored]
    return found if sound == "ok" else [*found, f"the database is not sound: {sound}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    seen: dict[str, str] = {}
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "tokenrouter.db"
        environment = {"TOKENROUTER_LOG__LEVEL": "error"}
        for number in range(given.times):
            gateway = gp.start_gateway(database, environment=environment)
            # The first start makes the workspace of this key; the ones after it must know the same one.
            environment["TOKENROUTER_BOOTSTRAP_KEY"] = gateway.key
            traffic = Traffic(gateway)
            time.sleep(chance.uniform(0.02, 1.5))
            gateway.process.kill()
            traffic.join()
            seen |= traffic.seen
            problems += [f"kill {number + 1}: {failure}" for failure in traffic.failures]
        last = gp.start_gateway(database, environment=environment)
        problems += problems_of(database, seen)
        with last.http() as client:
            sample = chance.sample(sorted(seen), min(len(seen), 200))
            answers = {id_: client.get(f"/v1/responses/{id_}") for id_ in sample}
        unread = [id_ for id_, answer in answers.items() if answer.status_code != 200 or answer.json()["status"] != "completed"]
        problems += [f"{id_}: cannot be read" for id_ in unread]
        entries = sum(ledger(database).values())
        code = last.stop()
    print(f"{given.times} kills, {len(seen):,} responses seen complete, {entries:,} entries in the ledger, "
          f"{len(problems)} problems; the last gateway ended with {code}")  # fmt: skip
    for problem in problems[:20]:
        print("problem:", problem)
    return 1 if problems or code != 0 or not seen else 0


if __name__ == "__main__":
    raise SystemExit(main())

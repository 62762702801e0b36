"""The bill of materials names what is shipped, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import gateway_process as gp


def test_the_bill_names_every_crate_that_is_shipped_with_its_checksum(tmp_path: Path) -> None:
    script = [sys.executable, str(gp.ROOT / "scripts" / "make_sbom.py")]
    bills = []
    for name in ("one.json", "two.json"):
        subprocess.run([*script, str(tmp_path / name)], check=True, capture_output=True)
        bills.append((tmp_path / name).read_text())
    assert bills[0] == bills[1]
    bill = json.loads(bills[0])
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "tokenrouter")
    references = {component["bom-ref"] for component in bill["components"]} | {"pkg:cargo/tokenrouter@0.1.0"}
    assert len(references) == len(bill["components"]) + 1
    names = {component["name"] for component in bill["components"]}
    assert {"axum", "rustls", "aws-lc-sys", "rusqlite", "tokenrouter-gateway", "httpx", "pydantic"} <= names
    # The tests' alone, and the load generator's.
    assert not {"proptest", "tokenrouter-load"} & names
    lock = {(entry["name"], entry["version"]): entry for entry in tomllib.loads((gp.ROOT / "Cargo.lock").read_text())["package"]}
    for component in bill["components"]:
        if component["purl"].startswith("pkg:cargo/") and not component["name"].startswith("tokenrouter"):
            checksum = lock[component["name"], component["version"]]["checksum"]
            assert component["hashes"] == [{"alg": "SHA-256", "content": checksum}]
            assert component["licenses"][0]["expression"]
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= references

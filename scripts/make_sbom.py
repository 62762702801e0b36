"""Makes the bill of materials of what is shipped, in CycloneDX 1.6: target/sbom.cdx.json.

    python scripts/make_sbom.py [FILE]

Every crate that is built into the gateway, for whichever system, with the version and the checksum that Cargo.lock
has, and the Python packages that the SDK asks for, whose versions are chosen where it is installed. Crates that only
the tests use are not in it. The same sources give the same bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = "tokenrouter"
# Any name of ours: with it the same bill has the same serial number.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://tokenrouter/sbom")


def metadata() -> dict[str, Any]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        # The registry's sources are not here yet.
        ended = subprocess.run(command[:-1], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def shipped(found: dict[str, Any]) -> dict[str, list[str]]:
    """What each shipped crate needs, by id."""
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    [root] = [package["id"] for package in found["packages"] if package["name"] == SHIPPED]
    needed: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        crate = waiting.pop()
        if crate in needed:
            continue
        kinds = nodes[crate]["deps"]
        needed[crate] = [dep["pkg"] for dep in kinds if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        waiting += needed[crate]
    return needed


def component(package: dict[str, Any], checksums: dict[tuple[str, str], str]) -> dict[str, Any]:
    name, version = package["name"], package["version"]
    made: dict[str, Any] = {
        "type": "application" if name == SHIPPED else "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}",
    }
    if package["license"]:
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((name, version))
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def python_packages() -> list[dict[str, Any]]:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    made = []
    for requirement in asked:
        name = requirement.split(">")[0].split("<")[0].split("=")[0].strip()
        reference = f"pkg:pypi/{name}"
        asks = {"name": "tokenrouter:requirement", "value": requirement}
        made.append(
            {"type": "library", "bom-ref": reference, "name": name, "purl": reference, "properties": [asks]}
        )
    return made


def bill() -> dict[str, Any]:
    found = metadata()
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(entry["name"], entry["version"]): entry["checksum"] for entry in lock if "checksum" in entry}
    needed = shipped(found)
    packages = {package["id"]: component(package, checksums) for package in found["packages"] if package["id"] in needed}
    reference = {crate: made["bom-ref"] for crate, made in packages.items()}
    components = sorted(packages.values(), key=lambda made: made["bom-ref"])
    [product] = [made for made in components if made["name"] == SHIPPED]
    python = python_packages()
    dependencies = [
        {"ref": reference[crate], "dependsOn": sorted({reference[other] for other in others})}
        for crate, others in needed.items()
    ]
    for entry in dependencies:
        if entry["ref"] == product["bom-ref"]:
            entry["dependsOn"] += [made["bom-ref"] for made in python]
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product},
        "components": [made for made in components if made is not product] + python,
        "dependencies": sorted(dependencies, key=lambda entry: entry["ref"]),
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(made, sort_keys=True))
    return {"bomFormat": made.pop("bomFormat"), "specVersion": made.pop("specVersion"), "serialNumber": f"urn:uuid:{serial}"} | made


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target" / "sbom.cdx.json"
    made = bill()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n")
    print(f"{path}: {len(made['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The documents' commands do what the documents say.

A ```bash or ```console block with the comment `<!-- test -->` on the line before it is run in a shell,
with a gateway that listens, its address in TOKENROUTER_BASE_URL and its key in TOKENROUTER_API_KEY;
a ```python block likewise, by Python. In a console block, lines that begin with `$ ` are commands, and
the lines under them must be somewhere in what was printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import gateway_process as gp
import pytest

BLOCK = re.compile(r"<!-- test -->\s*\n```(bash|console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    place: str
    language: str
    text: str


def documents() -> list[Path]:
    return sorted(gp.ROOT.glob("*.md")) + sorted((gp.ROOT / "docs").rglob("*.md"))


def blocks() -> list[Block]:
    found = []
    for document in documents():
        text = document.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(2)) + 1
            found.append(Block(f"{document.relative_to(gp.ROOT)}:{line}", match[1], match[2]))
    return found


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.place)
def test_a_documents_block_runs(block: Block, gateway: gp.Gateway, workspace: str, tmp_path: Path) -> None:
    path = os.pathsep.join([str(gp.binary().parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = gp.scrubbed_environment(
        {
            "PATH": path,
            "PYTHONPATH": str(gp.ROOT / "python"),
            "TOKENROUTER_BASE_URL": gateway.url,
            "TOKENROUTER_API_KEY": workspace,
        }
    )
    commands, expected = block.text, []
    if block.language == "console":
        lines = block.text.splitlines()
        commands = "\n".join(line[2:] for line in lines if line.startswith("$ "))
        expected = [line for line in lines if line and not line.startswith("$ ")]
    program = (
        [sys.executable, "-c", commands] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", commands]
    )
    ended = subprocess.run(
        program,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for line in expected:
        assert line in ended.stdout, ended.stdout


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(gp.ROOT)))
def test_a_documents_links_to_the_projects_own_files_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), target


def test_every_make_target_that_a_document_names_exists() -> None:
    makefile = (gp.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for document in documents():
        named = set(re.findall(r"`make ([a-z][a-z-]*)", document.read_text()))
        assert named <= targets, f"{document.name}: {named - targets}"


def test_the_reference_is_what_the_program_says() -> None:
    script = gp.ROOT / "scripts" / "make_reference.py"
    ended = subprocess.run(
        [sys.executable, str(script), str(gp.binary()), "--check"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_the_catalogs_abilities_are_those_of_their_sources() -> None:
    script = gp.ROOT / "scripts" / "abilities.py"
    ended = subprocess.run(
        [sys.executable, "-B", str(script), "--check"], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr

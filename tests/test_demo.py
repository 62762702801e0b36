"""The demo says what it promises to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gateway_process as gp


def test_the_demo_walks_through_and_stops_cleanly(tmp_path: Path) -> None:
    path = os.pathsep.join([str(gp.binary().parent), os.environ["PATH"]])
    environment = {"PATH": path, "PYTHONPATH": str(gp.ROOT / "python"), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, str(gp.ROOT / "examples" / "demo.py")],
        env=gp.scrubbed_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for words in (
        'You said: "What is Python?"',
        "Once upon a time",
        "→ openai/gpt-4o  mode cost, task coding",
        "Routed by a rule",
        '422 firewall_blocked: blocked by firewall rule 1 "Block Credit Cards"',
        "You can write to [EMAIL_REDACTED] at any time.",
        'firewall rule "Warn on Sensitive Terms" matched the response',
        "did you mean gpt-4o",
        "The gateway stopped (exit code 0)",
    ):
        assert words in ended.stdout, ended.stdout
    assert "4532" not in ended.stdout and "jane.doe" not in ended.stdout
    assert list(tmp_path.iterdir()) == []

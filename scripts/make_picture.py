"""Makes docs/demo.svg: what `make demo` prints, as a picture.

    PATH="$PWD/.venv/bin:$PATH" .venv/bin/python scripts/make_picture.py
"""

import html
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, LINE_PX, CHAR_PX, MARGIN_PX = 104, 18, 7.8, 18
STYLES = {"1;36": 'fill="#56b6c2" font-weight="bold"', "2": 'fill="#8b949e"', "0": 'fill="#e6edf3"'}


def rows(text: str) -> list[list[tuple[str, str]]]:
    """Each line as pieces of (style, text)."""
    lines = []
    style = "0"
    for line in text.splitlines():
        pieces: list[tuple[str, str]] = []
        for part in re.split(r"(\x1b\[[\d;]*m)", line):
            escape = re.fullmatch(r"\x1b\[([\d;]*)m", part)
            if escape:
                style = escape[1]
            elif part:
                wrapped = textwrap.wrap(part, COLUMNS, subsequent_indent="  ", drop_whitespace=False) or [""]
                for row in wrapped[:-1]:
                    lines.append([*pieces, (style, row)])
                    pieces = []
                pieces.append((style, wrapped[-1]))
        lines.append(pieces)
    return lines


def main() -> None:
    environment = os.environ | {"FORCE_COLOR": "1", "PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    said = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", said)
    said = re.sub(r",\s+request\s+req_\w+", "", said)
    lines = [[("2", "$ "), ("0", "make demo")], *rows(said)]
    width = int(COLUMNS * CHAR_PX + 2 * MARGIN_PX)
    height = LINE_PX * len(lines) + 2 * MARGIN_PX
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
        "<title>What make demo prints</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="13">',
    ]
    for number, pieces in enumerate(lines):
        y = MARGIN_PX + LINE_PX * (number + 1) - 5
        spans = "".join(f"<tspan {STYLES.get(style, STYLES['0'])}>{html.escape(text)}</tspan>" for style, text in pieces)
        if spans:
            out.append(f'<text x="{MARGIN_PX}" y="{y}" xml:space="preserve">{spans}</text>')
    out += ["</g>", "</svg>", ""]
    (ROOT / "docs" / "demo.svg").write_text("\n".join(out))


if __name__ == "__main__":
    main()

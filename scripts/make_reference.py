"""Makes docs/reference out of the program itself.

    python scripts/make_reference.py BINARY            writes it
    python scripts/make_reference.py BINARY --check    fails if it is not what would be written
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = [
    [], ["serve"], ["simulator"], ["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"], ["providers"],
    ["providers", "add"], ["providers", "list"], ["providers", "remove"], ["providers", "rotate"], ["providers", "test"],
    ["models"], ["route"], ["evaluate"], ["train"], ["rules"], ["rules", "export"], ["rules", "import"], ["requests"], ["requests", "list"],
    ["requests", "show"], ["requests", "tail"], ["usage"], ["doctor"], ["migrate"],
]  # fmt: skip
MADE = "<!-- Made by scripts/make_reference.py; do not edit. -->\n"


def say(binary: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENROUTER_")}
    ended = subprocess.run([str(binary), *arguments], env=environment, check=True, capture_output=True, text=True)
    return ended.stdout


def settings(_: Path) -> str:
    text = (ROOT / "tokenrouter.default.toml").read_text()
    return f"# Settings\n\n{MADE}\n`tokenrouter.default.toml`, which is compiled into the program:\n\n```toml\n{text}```\n"


def command_line(binary: Path) -> str:
    parts = [f"# Command line\n\n{MADE}"]
    for command in COMMANDS:
        name = " ".join(["tokenrouter", *command])
        parts.append(f"\n## `{name}`\n\n```text\n{say(binary, *command, '--help').strip()}\n```\n")
    return "".join(parts)


def errors(binary: Path) -> str:
    rows = [json.loads(line) for line in say(binary, "reference-errors").splitlines()]
    table = "".join(f"| {status} | `{kind}` | `{code}` | {meaning} |\n" for status, kind, code, meaning in rows)
    return (
        f"# Errors\n\n{MADE}\nThe body of an answer that is an error:\n\n"
        '```json\n{"error": {"type": "…", "code": "…", "message": "…", "param": null, "provider": null, '
        '"http_status": 404, "request_id": "req_…"}}\n```\n\n'
        "`param` names the field that was wrong, as `input[0].content`; `provider` the provider that an error came "
        "from. The SDK raises an `APIError` with these as attributes, of a class by the status.\n\n"
        "The same error in other places:\n\n"
        '- On `/v1/messages`, and on `/v1/models` to Anthropic\'s clients, it has Anthropic\'s shape, `{"type": "error", "error": {…}, "request_id": …}`, with '
        "Anthropic's word for the status as `type`. In a stream it is the event `error`.\n"
        "- In a stream of `/v1/responses` that has begun it is `error` of the response in the event `response.failed`.\n"
        '- In a stream of `/v1/chat/completions` it is `data: {"error": {…}}`, and nothing comes after it.\n'
        '- Over a WebSocket it is the event `{"type": "error", "status": 404, "error": {…}}`; a response that has begun '
        "ends with `response.failed`.\n"
        "- What the HTTP library refuses itself, such as headers that are too long (431), has no body of ours.\n\n"
        f"| status | type | code | what it means |\n| --- | --- | --- | --- |\n{table}"
    )


def models(binary: Path) -> str:
    rows = [json.loads(line) for line in say(binary, "models", "--json").splitlines()]
    lines = []
    for row in rows:
        price = ["unknown" if row[name] is None else f"{row[name]:g}" for name in ("input_usd_per_million", "output_usd_per_million")]
        lines.append(
            f"| `{row['id']}` | {row['abilities']['overall']['ability']:.2f} | {row['context_window']:,} | {row['max_output_tokens']:,} | {price[0]} | {price[1]} "
            f"| {row['deprecated_on'] or ''} | {row['source']['price']} |\n"
        )
    return (
        f"# Models\n\n{MADE}\nThe catalog that is compiled in, of {len(rows)} models: `tokenrouter models`. Tokens, and US "
        "dollars for a million tokens. A model is served when its provider is set up. How able it is, over all tasks, from 0 to "
        "1: by task, and by which source, is in `tokenrouter models --json`.\n\n"
        "| model | ability | context | output | $ in | $ out | ends on | price by |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        + "".join(lines)
    )


def openapi(binary: Path) -> str:
    return say(binary, "reference-openapi")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = []
    makers = {
        "settings.md": settings, "cli.md": command_line, "errors.md": errors, "models.md": models, "openapi.json": openapi,
    }  # fmt: skip
    for name, make in makers.items():
        path = REFERENCE / name
        text = make(arguments.binary.resolve())
        if arguments.check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"not current: {', '.join(stale)}; run python scripts/make_reference.py BINARY", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

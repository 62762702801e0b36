"""The command: what it says of itself, of wrong settings, and on its first start."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import gateway_process as gp
import pytest

KEY = re.compile(r"tr_[A-Za-z0-9_]{16,}")


def test_it_tells_its_version() -> None:
    ended = gp.run("--version")
    assert ended.returncode == 0
    assert re.fullmatch(r"tokenrouter \d+\.\d+\.\d+\n", ended.stdout)
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["simulator", "--help"], ["keys", "--help"], ["keys", "create", "--help"]],
)
def test_it_tells_its_use(arguments: list[str]) -> None:
    ended = gp.run(*arguments)
    assert ended.returncode == 0
    assert "Usage: tokenrouter" in ended.stdout


def test_a_command_that_it_does_not_have_is_refused_on_standard_error() -> None:
    ended = gp.run("sevre")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "sevre" in ended.stderr and "serve" in ended.stderr


def test_wrong_settings_are_reported_all_at_once_with_their_place(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(
        '[upstream]\nfirst_event_timeout_ms = "soon"\nno_such_setting = 1\n\n'
        '[[providers]]\nname = "one"\nkind = "telepathy"\nbase_url = "http://127.0.0.1:9"\n'
    )
    ended = gp.run("serve", "--listen", "127.0.0.1:0", "--config", str(config), "--database", f"sqlite:{tmp_path}/t.db")
    assert ended.returncode not in (0, 101)
    for place in ("wrong.toml", "first_event_timeout_ms", "no_such_setting", "telepathy"):
        assert place in ended.stderr, f"{place} is not in:\n{ended.stderr}"
    assert ended.stdout == "" and "panicked" not in ended.stderr
    assert re.search(r"\b2\b", ended.stderr) and re.search(r"\b3\b", ended.stderr), "the lines are named"


def test_no_mistake_hides_another(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(
        "[server]\n"
        'listen = "nowhere"\n'
        "max_body_bytes = = 5\n"
        "drain_timeout_ms = 01\n"
        "[database]\n"
        'url = "postgres://u:hunter2@db/x"\n'
        "[log]\n"
        'level = "loud"\n'
        "[[providers]]\n"
        'name = "a b"\n'
        'kind = "telepathy"\n'
        'base_url = "ftp://x"\n'
        'api_key = "sk-hunter2"\n'
        "[[providers]]\n"
        'kind = "openai-compatible"\n'
        'api_key = "env:NO_SUCH_KEY"\n'
        "models = 5\n"
    )
    ended = gp.run("serve", "--config", str(config))
    assert ended.returncode == 2, ended.stderr
    for line, word in [
        (2, "nowhere"),
        (3, ""),
        (4, ""),
        (6, "database.url"),
        (8, "loud"),
        (9, "a b"),
        (9, "telepathy"),
        (9, "ftp://x"),
        (9, "api_key"),
        (14, "`name`"),
        (14, "base_url"),
        (14, "NO_SUCH_KEY"),
        (14, "models"),
    ]:
        told = [said for said in ended.stderr.splitlines() if f"wrong.toml:{line}: " in said and word in said]
        assert len(told) == 1, f"{line} {word!r} in:\n{ended.stderr}"
    assert "hunter2" not in ended.stderr


def test_a_flag_is_the_place_of_its_mistake() -> None:
    ended = gp.run("serve", "--listen", "somewhere", "--database", "mysql://u:hunter2@db/x")
    assert ended.returncode == 2
    assert "--listen: " in ended.stderr and "--database: " in ended.stderr and "hunter2" not in ended.stderr


def test_a_wrong_setting_in_the_environment_is_reported_by_its_name(tmp_path: Path) -> None:
    ended = gp.run(
        "serve", "--listen", "127.0.0.1:0", "--database", f"sqlite:{tmp_path}/t.db",
        environment={"TOKENROUTER_UPSTREAM__FIRST_EVENT_TIMEOUT_MS": "soon"},
    )  # fmt: skip
    assert ended.returncode not in (0, 101)
    assert "TOKENROUTER_UPSTREAM__FIRST_EVENT_TIMEOUT_MS" in ended.stderr


def test_a_settings_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    ended = gp.run("serve", "--config", str(tmp_path / "nowhere.toml"), "--database", f"sqlite:{tmp_path}/t.db")
    assert ended.returncode not in (0, 101) and "nowhere.toml" in ended.stderr


def test_the_first_start_prints_a_key_once_and_later_starts_print_none(
    tmp_path: Path, start_gateway: Callable[..., gp.Gateway]
) -> None:
    database = tmp_path / "tokenrouter.db"
    first = start_gateway(database=database, environment={"TOKENROUTER_BOOTSTRAP_KEY": ""})
    said = first.process.stderr + first.process.stdout
    assert first.stop() == 0
    said = first.process.stderr + first.process.stdout
    [key] = set(KEY.findall(said))
    second = start_gateway(database=database, environment={"TOKENROUTER_BOOTSTRAP_KEY": ""})
    with second.http(key) as client:
        assert client.get("/v1/models").status_code == 200
    assert second.stop() == 0
    assert not KEY.findall(second.process.stderr + second.process.stdout)


def test_a_bootstrap_key_is_the_key_and_is_not_printed(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    with gateway.http() as client:
        assert client.get("/v1/models").status_code == 200
    assert gateway.stop() == 0
    assert gateway.key not in gateway.process.stderr + gateway.process.stdout


def test_a_bootstrap_key_that_is_no_key_is_refused(tmp_path: Path) -> None:
    ended = gp.run(
        "serve", "--listen", "127.0.0.1:0", "--database", f"sqlite:{tmp_path}/t.db",
        environment={"TOKENROUTER_BOOTSTRAP_KEY": "not-one-of-ours"},
    )  # fmt: skip
    assert ended.returncode not in (0, 101) and "tr_" in ended.stderr
    assert "not-one-of-ours" not in ended.stderr


@pytest.mark.parametrize("database", ["postgres://127.0.0.1/tokenrouter", "mysql://127.0.0.1/x", "nonsense:"])
def test_a_database_that_this_version_cannot_use_is_told(database: str) -> None:
    ended = gp.run("serve", "--listen", "127.0.0.1:0", "--database", database)
    assert ended.returncode not in (0, 101)
    assert "sqlite" in ended.stderr.lower() or "postgres" in ended.stderr.lower(), ended.stderr
    assert "panicked" not in ended.stderr


def test_a_database_in_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = gp.run("serve", "--listen", "127.0.0.1:0", "--database", f"sqlite:{tmp_path}/file/t.db")
    assert ended.returncode not in (0, 101) and str(tmp_path) in ended.stderr


def test_a_port_in_use_is_told_with_the_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = gp.run("serve", "--simulate", "--listen", address, "--database", f"sqlite:{tmp_path}/t.db")
    assert ended.returncode not in (0, 101)
    assert address in ended.stderr and "in use" in ended.stderr.lower()


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    ended = gp.run("serve", "--listen", "somewhere", "--database", f"sqlite:{tmp_path}/t.db")
    assert ended.returncode not in (0, 101) and "somewhere" in ended.stderr


def test_a_key_made_while_the_gateway_runs_works_at_once(gateway: gp.Gateway) -> None:
    key = gateway.new_workspace()
    with gateway.http(key) as client:
        assert client.get("/v1/routing-rules").json() == {"data": []}


def test_a_new_key_goes_alone_to_standard_output(tmp_path: Path) -> None:
    made = gp.run("keys", "create", "--workspace", "mine", "--database", f"sqlite:{tmp_path}/t.db")
    assert made.returncode == 0, made.stderr
    assert KEY.fullmatch(made.stdout.strip()), made.stdout
    assert made.stdout.strip() not in made.stderr


def test_no_provider_key_and_no_prompt_is_ever_logged(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path, mark: str
) -> None:
    simulator = gp.start_simulator()
    config = tmp_path / "tokenrouter.toml"
    config.write_text(gp.provider_settings("openai", "openai", f"{simulator.url}/openai/v1"))
    secret = "sk-simulated-never-to-be-seen"
    gateway = start_gateway(
        simulate=False,
        config=config,
        environment={"SIMULATED_KEY": secret, "RUST_LOG": "trace", "TOKENROUTER_LOG__LEVEL": "trace"},
    )
    with gateway.http() as client:
        assert client.post("/v1/responses", json={"model": "openai/gpt-4o", "input": mark}).status_code == 200
        simulator.fault(provider="openai", count=100, status=401)
        assert client.post("/v1/responses", json={"model": "openai/gpt-4o", "input": mark}).status_code == 502
    assert gateway.stop() == 0
    said = gateway.process.stderr + gateway.process.stdout
    for word in (secret, mark, gateway.key):
        assert word not in said
    assert simulator.process is not None
    simulator.process.stop()


def run_unread(stream: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, one of whose streams is a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    try:
        return subprocess.run(
            [str(gp.binary()), *arguments],
            env=gp.scrubbed_environment({"OPENAI_API_KEY": "sk-none"}),
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=30,
            check=False,
            **streams,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["models", "--json"],
        *(
            [*command, *form, "--database"]
            for command in (["keys", "list"], ["usage"], ["route", "Hi"], ["rules", "export"])
            for form in ([], ["--json"])
            if (command[0], form) != ("rules", ["--json"])
        ),
    ],
    ids=" ".join,
)
def test_it_ends_quietly_when_its_reader_has_left(tmp_path: Path, arguments: list[str]) -> None:
    database = f"sqlite:{tmp_path}/t.db"
    assert gp.run("keys", "create", "--database", database).returncode == 0
    ended = run_unread("stdout", *arguments, *([database] if arguments[-1] == "--database" else []))
    assert ended.returncode == 0, ended.stderr
    assert not re.search("panicked|error|pipe", ended.stderr), ended.stderr


def test_words_that_nobody_reads_are_no_trouble(tmp_path: Path) -> None:
    database = ("--database", f"sqlite:{tmp_path}/t.db")
    ended = run_unread("stderr", "keys", "create", *database)
    assert ended.returncode == 0 and KEY.fullmatch(ended.stdout.strip())
    assert run_unread("stderr", "keys", "revoke", "7", *database).returncode == 1


def test_a_key_that_nobody_could_read_is_told(tmp_path: Path) -> None:
    ended = run_unread("stdout", "keys", "create", "--database", f"sqlite:{tmp_path}/t.db")
    assert ended.returncode == 1 and "panicked" not in ended.stderr
    assert "keys revoke 1" in ended.stderr


def test_names_steer_no_terminal(tmp_path: Path) -> None:
    database = ("--database", f"sqlite:{tmp_path}/t.db")
    assert gp.run("keys", "create", "--name", "\x1b[2J\tmine\n", *database).returncode == 0
    listed = gp.run("keys", "list", *database).stdout
    assert "\\u{1b}[2J\\tmine\\n" in listed and "\x1b" not in listed and listed.count("\n") == 1

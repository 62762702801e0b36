"""One wheel has both: the SDK as a library, and the gateway as a command."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import gateway_process as gp
import pytest

# The build shares cargo's folder and profile with the tests, so that little is compiled anew.
BUILD_TIMEOUT_S = 1200


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a virtual environment with nothing but the wheel in it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "maturin", "build", "--profile", "ci", "--out", str(folder / "dist")]
    subprocess.run(build, cwd=gp.ROOT, check=True, timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL)
    [wheel] = (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / "bin"
    install = [str(binaries / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, timeout=300, stdin=subprocess.DEVNULL)
    return binaries


def say(*command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        command,
        cwd="/",
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return ended.stdout.strip()


def test_the_wheel_brings_the_command_and_the_library_of_one_version(installed: Path) -> None:
    command = say(str(installed / "tokenrouter"), "--version")
    library = say(
        str(installed / "python"), "-c", "import tokenrouter; print(tokenrouter.__file__, tokenrouter.__version__)"
    )
    path, _, version = library.partition(" ")
    assert command == f"tokenrouter {version}"
    assert Path(path).is_relative_to(installed.parent)


def test_the_library_says_that_it_is_typed(installed: Path) -> None:
    code = "import importlib.resources as r; print(r.files('tokenrouter').joinpath('py.typed').is_file())"
    assert say(str(installed / "python"), "-c", code) == "True"

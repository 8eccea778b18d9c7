"""The section of README.md about the SDKs, typed by a reader who has the binary and nothing else of the hub's.

README.md is read and not copied: a command that is added there is run here. Its blocks are typed into one shell, in a
home of its own; `hub serve` stays in the background while the others are typed, as in a second terminal.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.hub import binary
from harness.waiting import LIMIT_SECONDS, until

README = Path(__file__).resolve().parents[2] / "README.md"
HEADING = "## A hub for the Azure SDKs\n"

# What installs the SDK: it is installed here.
INSTALLS = "python3 -m venv "


def section():
    """The lines of the section."""
    text = README.read_text()
    assert HEADING in text, f"README.md has no section {HEADING!r}"
    return text.split(HEADING, 1)[1].split("\n## ", 1)[0].splitlines()


def steps():
    """What the reader does, in order: a command with what is shown below it, or a file with its content."""
    found, path, lines = [], None, iter(section())
    for line in lines:
        told = re.search(r"this into `([^`]+)`", line)
        path = told.group(1) if told else path
        if not line.startswith("```"):
            continue
        block = []
        for inner in lines:
            if inner == "```":
                break
            block.append(inner)
        if line == "```console":
            for inner in block:
                if inner.startswith("$ "):
                    found.append(("command", inner[2:], []))
                else:
                    found[-1][2].append(inner)
        else:
            found.append(("file", path, "\n".join(block) + "\n"))
    return found


def shape(line):
    """A line without what differs from run to run: numbers, and how much space there is."""
    return re.sub(r"\s+", " ", re.sub(r"[0-9]+", "0", line)).strip()


class Reader:
    """A home with the binary on the search path, and what runs in the background."""

    def __init__(self, home):
        self._home = home
        programs = home / "programs"
        programs.mkdir()
        (programs / "wasm-edge").symlink_to(binary())
        # The environment that the reader would install the SDK into.
        (home / "azure").symlink_to(sys.prefix)
        self._environment = {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
        self._background = []

    def put(self, path, content):
        """Writes a file."""
        (self._home / path).write_text(content)

    def type(self, command, shown):
        """Types a command; what is shown below it comes, in this order."""
        if command.startswith(INSTALLS):
            return
        if command.startswith("wasm-edge hub serve"):
            self._leave_running(command, shown)
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._home,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        check(command, shown, done.stdout)

    def _leave_running(self, command, shown):
        printed = self._home / f"printed-{len(self._background)}"
        with open(printed, "wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self._home,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._background.append((process, command))

        def complete():
            text = printed.read_text()
            assert process.poll() is None, f"{command}: {text}"
            return text and missing(shown, text) is None

        until(f"`{command}` to print what is shown", complete)

    def close(self):
        """Ctrl-C, which ends in order."""
        for process, command in self._background:
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_SECONDS) == 0, command


def missing(shown, printed):
    """The first line that is shown and does not come in its turn."""
    lines = iter(printed.splitlines())
    for line in shown:
        if not any(shape(found) == shape(line) for found in lines):
            return line
    return None


def check(command, shown, printed):
    """All lines that are shown come."""
    line = missing(shown, printed)
    assert line is None, f"`{command}` does not print {line!r} there:\n{printed}"


@pytest.fixture
def reader(hub, tmp_path):
    """A reader, while the hub of the other tests is away: both want the same ports."""
    hub.stop()
    try:
        reader = Reader(tmp_path)
        yield reader
        reader.close()
    finally:
        hub.start()


def test_a_reader_connects_a_program_with_the_sdk_as_the_readme_shows(reader):
    todo = steps()
    assert sum(step[0] == "command" for step in todo) >= 4, todo
    for what, *step in todo:
        if what == "file":
            reader.put(*step)
        else:
            reader.type(*step)

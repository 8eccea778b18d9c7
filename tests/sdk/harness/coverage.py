"""The table of what the tests call of the SDKs: docs/sdk-coverage.md, and its summary in README.md.

It is made of the record of a run, of the SDKs' public calls, and of reasons.json, which says of each call that no test
uses why, and of each that the hub does not offer how it is refused. A committed text that differs is a fault, as is a
call without test and reason, and a reason that does not hold.
"""

import json
import os
from importlib import metadata
from pathlib import Path

from harness.surface import METHOD, calls, classes

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
REASONS = HERE / "reasons.json"
TABLE = ROOT / "docs" / "sdk-coverage.md"
README = ROOT / "README.md"
BEGIN = "<!-- sdk-coverage: made by tests/sdk -->\n"
END = "<!-- sdk-coverage: end -->\n"

WORKS, REFUSED, UNCOVERED = "works", "refused", "not covered"

HEAD = """# What of the Azure SDKs works with the hub

This table is made by `make test`, which runs the newest official SDKs for Python, unmodified, against `wasm-edge hub serve`: {versions}.
It has every public method and property of every public client of theirs, as introspection finds them, with the test in [`tests/sdk`](../tests/sdk) that calls it.
*Works* is the first test in which the call did what it is for, seen from the other side; *fails in order* is the first one in which the SDK or the hub refused it and the right error came out.
Properties have no errors of their own.
Calls under *not offered* are answered with a status and an error body that say so; of the others it says why no test calls them.
"""


class Coverage:
    """What a run called, beside what there is to call."""

    def __init__(self, record):
        self._returned = {call: sorted(tests) for call, tests in record.returned.items()}
        self._raised = {call: sorted(tests) for call, tests in record.raised.items()}
        self._statuses = {call: _statuses(tests) for call, tests in record.raised.items()}
        reasons = json.loads(REASONS.read_text())
        self._refused = reasons["refused"]
        self._uncovered = reasons["uncovered"]
        self._without_error = reasons["withoutError"]

    def faults(self):
        """What is wrong with the tests, the reasons, or the committed texts."""
        faults = self._faults_of_calls() + self._faults_of_reasons()
        readme = README.read_text()
        for path, text, committed in (
            (TABLE, self.table(), TABLE.read_text() if TABLE.exists() else ""),
            (README, self._readme(readme), readme),
        ):
            if text == committed:
                continue
            if os.environ.get("UPDATE_SNAPSHOTS") == "1":
                path.write_text(text)
            else:
                faults.append(f"{path.relative_to(ROOT)} is not what this run shows; UPDATE_SNAPSHOTS=1 writes it anew")
        return faults

    def _faults_of_calls(self):
        faults = []
        for call, kind in _all():
            if call in self._refused:
                if call in self._returned:
                    faults.append(f"`{call}` is said to be refused and returned in {self._returned[call][0]}")
                if self._statuses.get(call, set()) != {self._refused[call]["status"]}:
                    faults.append(f"`{call}` was refused with {self._statuses.get(call)}, not as its reason says")
            elif call in self._uncovered:
                if call in self._returned or call in self._raised:
                    faults.append(f"`{call}` has a reason why no test calls it, and a test calls it")
            elif call not in self._returned:
                faults.append(f"`{call}` has neither a test in which it works nor a reason in {REASONS.name}")
            elif kind == METHOD and (call in self._raised) == (call in self._without_error):
                faults.append(f"`{call}` needs either a test in which it fails or a reason why it cannot")
        return faults

    def _faults_of_reasons(self):
        known = {call for call, _ in _all()}
        given = [*self._refused, *self._uncovered, *self._without_error]
        return [f"`{call}` in {REASONS.name} is no public call of the SDKs" for call in given if call not in known] + [
            f"`{call}` is in {REASONS.name} more than once" for call in set(given) if given.count(call) > 1
        ]

    def _state(self, call):
        if call in self._refused:
            return REFUSED
        return UNCOVERED if call in self._uncovered else WORKS

    def table(self):
        """The whole table."""
        packages = ("azure-iot-device", "azure-iot-hub")
        versions = " and ".join(f"`{package}` {metadata.version(package)}" for package in packages)
        parts = [HEAD.format(versions=versions), "\n", self._summary("")]
        for shown, cls in classes().items():
            of_class = [(f"{shown}.{name}", name, kind) for name, kind in calls(cls).items()]
            parts.append(f"\n## {shown}\n")
            works = [entry for entry in of_class if self._state(entry[0]) == WORKS]
            if works:
                parts.append("\n| Call | Works | Fails in order |\n| --- | --- | --- |\n")
                parts += [self._row(*entry) for entry in works]
            for state, title in ((REFUSED, "Not offered"), (UNCOVERED, "Not covered")):
                rows = [entry for entry in of_class if self._state(entry[0]) == state]
                if rows:
                    parts.append(f"\n| {title} | |\n| --- | --- |\n")
                    parts += [f"| `{name}` | {self._reason(call)} |\n" for call, name, _ in rows]
        return "".join(parts)

    def _row(self, call, name, kind):
        fails = "" if kind != METHOD else self._without_error.get(call) or _test(self._raised.get(call))
        return f"| `{name}` | {_test(self._returned.get(call))} | {fails} |\n"

    def _reason(self, call):
        if call in self._refused:
            return f"{self._refused[call]['status']}: {self._refused[call]['reason']}"
        return self._uncovered[call]

    def _summary(self, folder):
        rows = ["| Client | Calls | Work | Not offered | Not covered |\n| --- | --- | --- | --- | --- |\n"]
        for shown, cls in classes().items():
            states = [self._state(f"{shown}.{name}") for name in calls(cls)]
            numbers = " | ".join(str(states.count(state)) for state in (WORKS, REFUSED, UNCOVERED))
            link = f"[`{shown}`]({folder}#{shown.lower().replace('.', '')})"
            rows.append(f"| {link} | {len(states)} | {numbers} |\n")
        return "".join(rows)

    def _readme(self, text):
        if BEGIN not in text or END not in text:
            return text + BEGIN + END
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        return f"{before}{BEGIN}\n{self._summary('docs/sdk-coverage.md')}\n{END}{after}"


def _all():
    return [(f"{shown}.{name}", kind) for shown, cls in classes().items() for name, kind in calls(cls).items()]


def _test(tests):
    """The first of the tests by name, as it is shown: without what it was called with."""
    return f"`{tests[0].split('[')[0]}`" if tests else ""


def _statuses(tests):
    """The statuses of the answers that a call was refused with; `None` where no answer came."""
    return {_status(error) for errors in tests.values() for error in errors}


def _status(error):
    answer = getattr(error, "response", None)
    if answer is not None:
        return answer.status_code
    # The device SDK keeps no answer; its text begins with the status.
    told = str(error.__cause__ or error)
    number = told.rpartition("HTTP operation returned: ")[2].partition(" ")[0]
    return int(number) if number.isdigit() else None

"""The hub under test: `wasm-edge hub serve` on its default ports and host name, started, killed and started again."""

import json
import os
import signal
import subprocess
from pathlib import Path

from harness.waiting import LIMIT_SECONDS

# The name that the hub's own certificate has without any option.
HOST_NAME = "localhost"


def binary():
    """The binary under test."""
    path = os.environ.get("WASM_EDGE_BIN")
    if path is None:
        path = Path(__file__).resolve().parents[3] / "target" / "debug" / "wasm-edge"
    if not os.access(path, os.X_OK):
        raise AssertionError(f"`{path}` is not there: `cargo build -p wasm-edge-cli` makes it")
    return str(path)


class Hub:
    """A hub with a home of its own."""

    def __init__(self, home):
        self.home = Path(home)
        self.data = self.home / "data"
        self._log = open(self.home / "hub.log", "ab")
        self._process = None
        self.told = None
        self.start()

    def start(self):
        """Starts it and waits until it takes connections."""
        command = [binary(), "hub", "serve", "--data-dir", str(self.data), "--output", "json"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, env=self._environment(), text=True
        )
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise AssertionError(f"the hub did not start:\n{self.log()}")
        self.told = json.loads(line)

    def kill(self):
        """Ends it as a power cut does: nothing is told, nothing is tidied."""
        self._end(signal.SIGKILL)

    def stop(self):
        """Ends it in order."""
        assert self._end(signal.SIGTERM) == 0, self.log()

    def _end(self, how):
        self._process.send_signal(how)
        code = self._process.wait(LIMIT_SECONDS)
        self._process.stdout.close()
        return code

    def close(self):
        """Ends it at the end of the tests."""
        if self._process.poll() is None:
            self.stop()
        self._log.close()

    def verb(self, *args, given=None):
        """Runs a command of the command line on this hub's data folder, and answers what it prints."""
        command = [binary(), *args, "--data-dir", str(self.data)]
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, env=self._environment(), timeout=LIMIT_SECONDS
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def log(self):
        """What it said so far."""
        return (self.home / "hub.log").read_text()

    def _environment(self):
        return {"HOME": str(self.home), "PATH": os.environ.get("PATH", "")}

    @property
    def ca_file(self):
        """The file of the certificate that clients have to trust."""
        return self.told["caFile"]

    @property
    def ca(self):
        """The same as PEM text."""
        return Path(self.ca_file).read_text()

    def connection_string(self, policy="iothubowner"):
        """That of a shared access policy."""
        return self.told["connectionStrings"][policy]


class Identity:
    """A device or a module that the service made, with its key."""

    def __init__(self, device, module, key):
        self.device = device
        self.module = module
        self.key = key

    @property
    def resource(self):
        """What its tokens are for."""
        module = f"/modules/{self.module}" if self.module else ""
        return f"{HOST_NAME}/devices/{self.device}{module}"

    @property
    def connection_string(self):
        """As it is given to a client."""
        module = f"ModuleId={self.module};" if self.module else ""
        return f"HostName={HOST_NAME};DeviceId={self.device};{module}SharedAccessKey={self.key}"



"""The hub, the service and the clients that the tests use, and the record of what they call of the SDKs."""

import json
import os
import re
import tempfile

import pytest

from harness.client import Kind, Loop
from harness.coverage import Coverage
from harness.hub import Hub
from harness.service import Service
from harness.surface import Record
from harness.wire import Wire

RECORD = Record()
# Before any test imports a class by its name.
RECORD.install()


@pytest.fixture(scope="session")
def hub():
    """The hub, for all tests: its ports are fixed, so there is one."""
    with tempfile.TemporaryDirectory(prefix="wasm-edge-sdk-") as home:
        hub = Hub(home)
        # Where the service SDK looks for whom to trust.
        os.environ["REQUESTS_CA_BUNDLE"] = hub.ca_file
        yield hub
        hub.close()


@pytest.fixture(scope="session")
def service(hub):
    """The service, with all rights."""
    return Service(hub.connection_string())


@pytest.fixture(scope="session")
def stranger(hub):
    """Somebody who may connect as a device and nothing else."""
    return Service(hub.connection_string("device"))


@pytest.fixture
def name(request):
    """A name for a device that no other test has."""
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")


@pytest.fixture
def device(service, name):
    """A device with a key."""
    return service.new_device(name)


@pytest.fixture
def module(service, device):
    """A module of the device, with a key."""
    return service.new_module(device.device, "insight")


@pytest.fixture(scope="session")
def loop():
    """Where the asynchronous clients run."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(params=["sync", "aio"])
def kind(request, hub, loop):
    """The synchronous and the asynchronous clients in turn."""
    kind = Kind(request.param, hub, loop)
    yield kind
    kind.close()


@pytest.fixture
def wire():
    """The packets of the clients of this test."""
    with Wire() as wire:
        yield wire


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """What is called while a test runs is by that test; what its fixtures do beforehand and afterwards counts nothing."""
    RECORD.test = item.nodeid
    try:
        return (yield)
    finally:
        RECORD.test = None


def pytest_runtest_logreport(report):
    """Tells who started the tests how each one ended; what fails or is left out before or after it counts, too."""
    path = os.environ.get("WASM_EDGE_SDK_REPORT")
    if path and (report.when == "call" or not report.passed):
        told = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 3)}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


def pytest_sessionfinish(session, exitstatus):
    """Holds the record against the committed table, when all tests ran and passed."""
    whole = not session.config.option.keyword and not any(".py" in arg for arg in session.config.args)
    if exitstatus == 0 and whole:
        faults = Coverage(RECORD).faults()
        for fault in faults:
            session.config.get_terminal_writer().line(f"coverage: {fault}", red=True)
        if faults:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

"""The provisioning client of the official Azure SDK for Python against the stand-in of the provisioning service.

It keeps the stand-in honest: what it asks of clients, and what it answers, has to suit a client that was made for the
service itself. The port is fixed, so this runs in a network namespace of its own:

    unshare --user --map-root-user --net target/sdk-venv/bin/python tests/sdk-provisioning/run.py STAND_IN

Prints the name of each check that held.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path

from azure.iot.device import ProvisioningDeviceClient, exceptions
from azure.iot.device.aio import ProvisioningDeviceClient as AsyncProvisioningDeviceClient

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk"))

from run import raise_loopback  # noqa: E402

# The service's, which the SDK has fixed.
PORT = 8883
SCOPE = "0ne00000001"
HUB = "assigned.example"
KEY = base64.b64encode(b"the key of one registration alone").decode()
GROUP = base64.b64encode(b"the key of a group, from which others are derived").decode()


class StandIn:
    """The stand-in's process, told line by line."""

    def __init__(self, binary):
        self._process = subprocess.Popen(
            [binary, str(PORT), SCOPE, HUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ca = self._line()["ca"]

    def tell(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._line()

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(10) == 0

    def _line(self):
        return json.loads(self._process.stdout.readline())


def register(stand_in, registration_id, key):
    """By the synchronous client."""
    client = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host="localhost",
        registration_id=registration_id,
        id_scope=SCOPE,
        symmetric_key=key,
        server_verification_cert=stand_in.ca,
    )
    return client.register()


def register_async(stand_in, registration_id, key):
    """By the asynchronous client."""

    async def run():
        client = AsyncProvisioningDeviceClient.create_from_symmetric_key(
            provisioning_host="localhost",
            registration_id=registration_id,
            id_scope=SCOPE,
            symmetric_key=key,
            server_verification_cert=stand_in.ca,
        )
        return await client.register()

    return asyncio.run(run())


def derived(group, registration_id):
    """The key of a registration, as Azure's documentation derives it."""
    tag = hmac.new(base64.b64decode(group), registration_id.encode(), hashlib.sha256)
    return base64.b64encode(tag.digest()).decode()


def an_enrolled_key_is_assigned(stand_in, with_client):
    result = with_client(stand_in, "board-1", KEY)
    assert result.status == "assigned", result
    assert result.registration_state.assigned_hub == HUB
    assert result.registration_state.device_id == "board-1"


def a_derived_key_is_assigned(stand_in, with_client):
    result = with_client(stand_in, "board-2", derived(GROUP, "board-2"))
    assert result.registration_state.device_id == "board-2"


def an_assignment_that_takes_its_time_is_waited_for(stand_in, with_client):
    stand_in.tell("assigning 1")
    stand_in.tell("assigning 1")
    before = stand_in.tell("asked").count("status board-1")
    result = with_client(stand_in, "board-1", KEY)
    assert result.status == "assigned", result
    assert stand_in.tell("asked").count("status board-1") == before + 2


def a_throttled_request_is_repeated(stand_in, with_client):
    stand_in.tell("throttled")
    before = stand_in.tell("asked").count("register board-1")
    assert with_client(stand_in, "board-1", KEY).status == "assigned"
    assert stand_in.tell("asked").count("register board-1") == before + 2


def a_registration_without_a_hub_is_told(stand_in, with_client):
    for how in ("failed", "disabled"):
        stand_in.tell(f"ended {how}")
        try:
            result = with_client(stand_in, "board-1", KEY)
        except exceptions.ClientError as err:
            assert f" {how} " in str(err.__cause__), err.__cause__
        else:
            raise AssertionError(f"registered: {result}")


def another_key_is_refused(stand_in, with_client):
    for registration_id, key in (
        ("board-1", GROUP),
        ("board-1", derived(KEY, "board-1")),
        ("board-2", derived(GROUP, "board-1")),
        ("nobody", KEY),
    ):
        before = stand_in.tell("asked").count(f"refused {registration_id}")
        try:
            with_client(stand_in, registration_id, key)
        except exceptions.CredentialError:
            pass
        else:
            raise AssertionError(f"{registration_id} was let in")
        assert stand_in.tell("asked").count(f"refused {registration_id}") > before


CHECKS = (
    an_enrolled_key_is_assigned,
    a_derived_key_is_assigned,
    an_assignment_that_takes_its_time_is_waited_for,
    a_throttled_request_is_repeated,
    a_registration_without_a_hub_is_told,
    another_key_is_refused,
)


def main(binary):
    raise_loopback()
    stand_in = StandIn(binary)
    assert stand_in.tell(f"enrol board-1 {KEY}") == "done"
    assert stand_in.tell(f"group {GROUP}") == "done"
    for check in CHECKS:
        for with_client in (register, register_async):
            check(stand_in, with_client)
            print(f"{check.__name__} {with_client.__name__}", flush=True)
    stand_in.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
    # The SDK's threads outlive their clients, and complain when the interpreter ends in order.
    os._exit(0)

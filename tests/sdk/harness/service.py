"""The service's side: the managers of the service SDK, and what only the hub's own paths tell."""

import json
from contextlib import contextmanager
from http.client import responses
from urllib.parse import quote

import pytest
import requests
from azure.iot.hub import (
    DigitalTwinClient,
    IoTHubConfigurationManager,
    IoTHubHttpRuntimeManager,
    IoTHubJobManager,
    IoTHubRegistryManager,
)
from azure.iot.hub.sastoken import SasToken
from msrest.exceptions import HttpOperationError

from harness.hub import HOST_NAME, Identity
from harness.tokens import new_key
from harness.waiting import LIMIT_SECONDS, until


class Service:
    """Everything that asks with one connection string of the hub's."""

    def __init__(self, connection_string):
        self.connection_string = connection_string
        self.registry = IoTHubRegistryManager.from_connection_string(connection_string)
        self.configurations = IoTHubConfigurationManager.from_connection_string(connection_string)
        self.jobs = IoTHubJobManager.from_connection_string(connection_string)
        self.feedback = IoTHubHttpRuntimeManager.from_connection_string(connection_string)
        self.digital_twins = DigitalTwinClient.from_connection_string(connection_string)
        # A refusal is what is tested; it does not get better by asking again.
        for manager in (self.registry, self.configurations, self.jobs, self.feedback, self.digital_twins):
            manager.protocol.config.retry_policy.retries = 0

    def new_device(self, name, **options):
        """Makes a device that authenticates with a key."""
        key = new_key()
        self.registry.create_device_with_sas(name, key, new_key(), "enabled", **options)
        return Identity(name, None, key)

    def new_module(self, device, name):
        """Makes a module of a device that authenticates with a key."""
        key = new_key()
        self.registry.create_module_with_sas(device, name, "", key, new_key())
        return Identity(device, name, key)

    def twin(self, identity):
        """The twin of a device or a module."""
        if identity.module:
            return self.registry.get_module_twin(identity.device, identity.module)
        return self.registry.get_twin(identity.device)

    def patch_twin(self, identity, twin):
        """Patches the twin of a device or a module."""
        if identity.module:
            return self.registry.update_module_twin(identity.device, identity.module, twin)
        return self.registry.update_twin(identity.device, twin)

    def invoke(self, identity, request):
        """Calls a direct method of a device or a module."""
        if identity.module:
            return self.registry.invoke_device_module_method(identity.device, identity.module, request)
        return self.registry.invoke_device_method(identity.device, request)

    def ask(self, method, path, **options):
        """Asks for what is wasm-edge's own, with a token of the service SDK's."""
        parts = dict(part.split("=", 1) for part in self.connection_string.split(";"))
        token = SasToken(HOST_NAME, parts["SharedAccessKey"], parts["SharedAccessKeyName"])
        answer = requests.request(
            method,
            f"https://{HOST_NAME}/wasm-edge/v1/{path}",
            headers={"Authorization": str(token)},
            timeout=LIMIT_SECONDS,
            **options,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def send_command(self, device, line, **options):
        """Sends a message to a device; the service SDK does so by AMQP alone."""
        path = f"devices/{quote(device)}/messages/devicebound"
        return self.ask("POST", path, json=line, params=options).json()

    def telemetry(self, identity, count=1):
        """Waits until so many messages of a device or a module are in the hub's log, and answers them."""
        query = {"from": "earliest", "device": identity.device}
        if identity.module:
            query["module"] = identity.module
        found = []
        with self.ask("GET", "telemetry", params=query, stream=True) as answer:
            for line in answer.iter_lines(chunk_size=None):
                told = json.loads(line) if line else {}
                # What is asked for of a device are also its modules' messages.
                if told.get("device") and told["module"] == identity.module:
                    found.append(told)
                if len(found) == count:
                    return found
        raise AssertionError(f"the hub ended the stream of telemetry after {found!r}")

    def wait_for_reported(self, identity, suits):
        """Waits until the reported properties suit, and answers them."""

        def look():
            reported = self.twin(identity).properties.reported
            return [reported] if suits(reported) else None

        return until(f"what {identity.resource} reports", look)[0]

    def wait_until_connected(self, identity):
        """Waits until the registry says that it is connected."""
        until(f"{identity.resource} to connect", lambda: self.twin(identity).connection_state == "Connected")


@contextmanager
def refused(status, name):
    """What is called within is refused with this status, this name in the header, and the status's own phrase."""
    with pytest.raises(HttpOperationError) as caught:
        yield caught
    answer = caught.value.response
    told = f"{answer.status_code} {answer.reason}: {answer.text}"
    assert answer.status_code == status, told
    assert answer.headers.get("iothub-errorcode") == name, f"{answer.headers}\n{told}"
    assert answer.reason == responses[status], told
    assert json.loads(answer.text)["Message"], told
    # All that the SDK itself shows of a refusal is the phrase.
    assert responses[status] in str(caught.value)

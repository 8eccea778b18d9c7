"""The hub is killed and started again under clients that are connected."""

import pytest
from azure.iot.device import MethodResponse
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

from harness.waiting import Heard, until


class Listening:
    """A client with every handler that its identity can have."""

    def __init__(self, client, identity):
        self.client = client
        self.identity = identity
        self.patches = Heard()
        self.messages = Heard()
        self.changes = Heard()
        client.on_twin_desired_properties_patch_received = self.patches
        client.on_method_request_received = self._answer
        client.on_connection_state_change = lambda: self.changes(client.connected)
        assert client.on_connection_state_change is not None
        if identity.module is None:
            client.on_message_received = self.messages

    def _answer(self, request):
        self.client.send_method_response(MethodResponse.create_from_method_request(request, 200, request.payload))

    def prove(self, service, number):
        """Everything that the hub sends arrives, and what the client sends too."""
        patch = Twin(properties=TwinProperties(desired={"number": number}))
        version = service.patch_twin(self.identity, patch).properties.desired["$version"]
        assert self.patches.wait("the change", lambda patch: patch["$version"] == version)["number"] == number
        call = CloudToDeviceMethod(
            method_name="echo", payload=number, response_timeout_in_seconds=30, connect_timeout_in_seconds=0
        )
        assert service.invoke(self.identity, call).payload == number
        if self.identity.module is None:
            service.send_command(self.identity.device, {"bodyText": f"{number}"})
            self.messages.wait("the message", lambda message: message.data == f"{number}".encode())
        self.client.patch_twin_reported_properties({"number": number})
        assert service.twin(self.identity).properties.reported["number"] == number
        self.client.send_message(f"{number}")
        assert service.telemetry(self.identity, number)[-1]["bodyText"] == f"{number}"


@pytest.fixture
def listening(kind, device, module):
    """A device and a module that listen to everything."""
    return [
        Listening(kind.device("connection_string", device.connection_string), device),
        Listening(kind.module("connection_string", module.connection_string), module),
    ]


def wait_until_back(listening):
    """Waits until all clients have lost their connection and have one again."""
    for each in listening:
        states = each.changes
        until("the end of the connection", lambda: False in states.all)
        until("the connection", lambda: states.all[-1] is True)


def test_all_goes_on_after_the_hub_was_killed_without_a_new_subscription(listening, hub, service, wire):
    for each in listening:
        each.prove(service, 1)
    for each in listening:
        each.changes.forget()
    wire.forget()
    hub.kill()
    hub.start()
    wait_until_back(listening)
    for each in listening:
        each.prove(service, 2)
    # The clients connected again, the hub said that it still has their sessions, and they subscribed to nothing.
    assert len(wire.lines("CONNECT")) >= len(listening)
    accepted = [line for line in wire.lines("CONNACK") if line.endswith(", 0)")]
    assert len(accepted) == len(listening) and all("(1, 0)" in line for line in accepted), wire.lines("CONNACK")
    assert wire.lines("SUBSCRIBE") == []


def test_what_was_acknowledged_before_the_kill_is_there_after_it(listening, hub, service):
    for each in listening:
        each.prove(service, 1)
    before = [service.twin(each.identity) for each in listening]
    messages = [service.telemetry(each.identity) for each in listening]
    hub.kill()
    hub.start()
    for each, twin, sent in zip(listening, before, messages):
        after = service.twin(each.identity)
        assert after.properties.serialize() == twin.properties.serialize()
        assert (after.etag, after.version) == (twin.etag, twin.version)
        assert service.telemetry(each.identity) == sent


def test_a_change_made_while_the_client_was_away_reaches_it(kind, device, hub, service):
    each = Listening(kind.device("connection_string", device.connection_string, connection_retry_interval=2), device)
    each.prove(service, 1)
    each.changes.forget()
    hub.kill()
    hub.start()
    patch = Twin(properties=TwinProperties(desired={"number": 7}))
    version = service.patch_twin(device, patch).properties.desired["$version"]
    service.send_command(device.device, {"bodyText": "while away"})
    wait_until_back([each])
    assert each.patches.wait("the change", lambda patch: patch["$version"] == version)["number"] == 7
    each.messages.wait("the message", lambda message: message.data == b"while away")


def test_an_orderly_end_is_a_restart_like_any_other(kind, device, hub, service, wire):
    each = Listening(kind.device("connection_string", device.connection_string), device)
    each.prove(service, 1)
    each.changes.forget()
    wire.forget()
    hub.stop()
    hub.start()
    wait_until_back([each])
    each.prove(service, 2)
    assert wire.lines("SUBSCRIBE") == []

"""Tokens that end: renewed by the client, given anew by the program, asked for in time."""

import pytest
from azure.iot.device import exceptions
from azure.iot.hub.models import Twin, TwinProperties

from harness.tokens import new_key, token
from harness.waiting import Heard, until

# How long before its end the SDK renews a token: fixed in it.
RENEWED_BEFORE_SECONDS = 120


def test_a_client_renews_its_token_by_connecting_again(kind, device, service, wire):
    client = kind.device("connection_string", device.connection_string, sastoken_ttl=RENEWED_BEFORE_SECONDS + 3)
    heard = Heard()
    client.on_twin_desired_properties_patch_received = heard
    assert len(wire.lines("CONNECT")) == 1
    until("the connection with the new token", lambda: len(wire.lines("CONNACK")) >= 2)
    until("the client to be connected", lambda: client.connected)
    assert all(line.endswith(", 0)") for line in wire.lines("CONNACK")), wire.lines("CONNACK")
    # The desired properties still come, and nobody subscribed again.
    version = service.patch_twin(device, change(5)).properties.desired["$version"]
    heard.wait("the change", lambda patch: patch["$version"] == version)
    subscribed = [line for line in wire.lines("SUBSCRIBE") if "desired" in line]
    assert len(subscribed) == 1
    client.send_message("after the renewal")
    assert service.telemetry(device)[-1]["bodyText"] == "after the renewal"


def change(interval):
    """A patch of a desired property."""
    return Twin(properties=TwinProperties(desired={"interval": interval}))


@pytest.mark.parametrize("end", ["device", "module"])
def test_a_program_is_asked_for_a_new_token_and_gives_it(kind, device, module, service, wire, end):
    identity, make = (device, kind.device) if end == "device" else (module, kind.module)
    client = make("sastoken", token(identity.resource, identity.key, RENEWED_BEFORE_SECONDS + 2))
    asked = Heard()
    client.on_new_sastoken_required = lambda: asked("now")
    assert client.on_new_sastoken_required is not None
    client.connect()
    asked.wait("the question for a new token")
    client.update_sastoken(token(identity.resource, identity.key))
    until("the connection with the new token", lambda: len(wire.lines("CONNACK")) >= 2 and client.connected)
    client.send_message("after the renewal")
    assert service.telemetry(identity)[-1]["bodyText"] == "after the renewal"


def test_a_token_that_does_not_fit_is_refused_by_the_client(kind, device, module):
    made = [
        (kind.device("sastoken", token(device.resource, device.key)), device, module),
        (kind.module("sastoken", token(module.resource, module.key)), module, device),
    ]
    for client, own, other in made:
        for bad in (
            "no token",
            token(other.resource, other.key),
            token(f"{own.resource}x", own.key),
            token(own.resource, own.key, -1),
        ):
            with pytest.raises(ValueError):
                client.update_sastoken(bad)
    with pytest.raises(exceptions.ClientError):
        kind.device("connection_string", device.connection_string).update_sastoken(token(device.resource, device.key))


def test_a_new_token_that_is_not_good_is_refused_by_the_hub(kind, device):
    client = kind.device("sastoken", token(device.resource, device.key), connection_retry=False)
    client.connect()
    with pytest.raises(exceptions.CredentialError):
        client.update_sastoken(token(device.resource, new_key()))
    assert not client.connected


@pytest.mark.parametrize("end", ["device", "module"])
def test_a_program_is_told_of_faults_in_the_background(kind, device, module, service, end):
    identity, make = (device, kind.device) if end == "device" else (module, kind.module)
    client = make("connection_string", identity.connection_string)
    told, changes = Heard(), Heard()
    client.on_background_exception = told
    assert client.on_background_exception is told
    client.on_connection_state_change = lambda: changes(client.connected)
    client.connect()
    service.registry.delete_device(device.device)
    changes.wait("the end of the connection", lambda connected: not connected)
    assert isinstance(told.wait("why"), Exception)

"""Ways to connect and to be refused: transports, keys, tokens, certificates; what the clients raise."""

import pytest
from azure.iot.device import exceptions

from harness.client import NOT_CONNECTED, SHUT_DOWN
from harness.hub import HOST_NAME, Identity
from harness.tokens import new_key, token
from harness.waiting import Heard, until


@pytest.fixture(params=[False, True], ids=["mqtt", "websocket"])
def transport(request):
    """Options of a client for MQTT on 8883, and for MQTT over WebSocket on 443."""
    return {"websockets": request.param}


def prove_telemetry(client, identity, service):
    """What the client sends arrives under its identity."""
    client.send_message("hello")
    message = service.telemetry(identity)[-1]
    assert (message["device"], message.get("module")) == (identity.device, identity.module)
    assert message["bodyText"] == "hello"


def test_a_device_connects_with_its_key(kind, transport, device, service):
    client = kind.device("connection_string", device.connection_string, **transport)
    client.connect()
    prove_telemetry(client, device, service)
    client.disconnect()
    assert not client.connected
    until("the hub to see it go", lambda: service.twin(device).connection_state == "Disconnected")


def test_a_module_connects_with_its_key(kind, transport, module, service):
    client = kind.module("connection_string", module.connection_string, **transport)
    client.connect()
    prove_telemetry(client, module, service)
    client.disconnect()
    until("the hub to see it go", lambda: service.twin(module).connection_state == "Disconnected")


def test_a_device_connects_with_a_symmetric_key(kind, device, service):
    client = kind.device("symmetric_key", device.key, HOST_NAME, device.device)
    prove_telemetry(client, device, service)


def test_both_keys_of_an_identity_open(kind, service, name):
    keys = (new_key(), new_key())
    service.registry.create_device_with_sas(name, *keys, "enabled")
    for key in keys:
        client = kind.device("symmetric_key", key, HOST_NAME, name)
        client.connect()
        client.shutdown()


def test_a_device_connects_with_a_token_of_its_own(kind, transport, device, service):
    client = kind.device("sastoken", token(device.resource, device.key), **transport)
    prove_telemetry(client, device, service)


def test_a_module_connects_with_a_token_of_its_own(kind, module, service):
    client = kind.module("sastoken", token(module.resource, module.key))
    prove_telemetry(client, module, service)


def test_a_module_connects_from_the_environment_of_an_edge_device(kind, hub, module, service, monkeypatch):
    for name in ("IOTEDGE_WORKLOADURI", "IOTEDGE_DEVICEID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EdgeHubConnectionString", f"{module.connection_string};GatewayHostName={HOST_NAME}")
    monkeypatch.setenv("EdgeModuleCACertificateFile", hub.ca_file)
    client = kind.module("edge_environment")
    prove_telemetry(client, module, service)
    monkeypatch.delenv("EdgeHubConnectionString")
    with pytest.raises(OSError):
        kind.module("edge_environment")


def refuse(client):
    """The client is told that its credentials are not good, and tries no more."""
    with pytest.raises(exceptions.CredentialError):
        client.connect()
    assert not client.connected


def test_a_wrong_key_is_refused(kind, transport, device, module):
    refuse(kind.device("symmetric_key", new_key(), HOST_NAME, device.device, **transport))
    other = Identity(module.device, module.module, new_key())
    refuse(kind.module("connection_string", other.connection_string, **transport))


def test_a_token_that_has_ended_is_refused_by_the_client(kind, device):
    with pytest.raises(ValueError):
        kind.device("sastoken", token(device.resource, device.key, -1))


def test_the_key_of_another_device_is_refused(kind, device, service, name):
    other = service.new_device(f"{name}-other")
    refuse(kind.device("symmetric_key", other.key, HOST_NAME, device.device))


def test_an_unknown_device_is_refused(kind, name):
    refuse(kind.device("symmetric_key", new_key(), HOST_NAME, name))


def test_a_disabled_device_is_refused_until_it_is_enabled_again(kind, device, service):
    registry = service.registry
    keys = registry.get_device(device.device).authentication.symmetric_key
    registry.update_device_with_sas(device.device, None, keys.primary_key, keys.secondary_key, "disabled")
    refuse(kind.device("connection_string", device.connection_string))
    registry.update_device_with_sas(device.device, None, keys.primary_key, keys.secondary_key, "enabled")
    kind.device("connection_string", device.connection_string).connect()


def test_a_hub_that_the_client_does_not_trust_is_refused_by_the_client(kind, device):
    client = kind.device("connection_string", device.connection_string, server_verification_cert=None)
    with pytest.raises(exceptions.ClientError):
        client.connect()


def test_a_device_that_is_deleted_or_disabled_while_it_is_connected_is_closed(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    changes = Heard()
    client.on_connection_state_change = lambda: changes(client.connected)
    client.connect()
    changes.wait("the connection", lambda connected: connected)
    service.registry.delete_device(device.device)
    changes.wait("the end of the connection", lambda connected: not connected)


def test_the_newer_connection_of_an_identity_wins(kind, device, service):
    older = kind.device("connection_string", device.connection_string, connection_retry=False)
    changes = Heard()
    older.on_connection_state_change = lambda: changes(older.connected)
    older.connect()
    newer = kind.device("connection_string", device.connection_string)
    newer.connect()
    changes.wait("the end of the older connection", lambda connected: not connected)
    prove_telemetry(newer, device, service)
    assert newer.connected and not older.connected


def test_what_is_no_credential_is_refused_by_the_client(kind, hub, device):
    for make in (kind.device, kind.module):
        with pytest.raises(ValueError):
            make("connection_string", "HostName=localhost")
        with pytest.raises(ValueError):
            make("sastoken", "no token")
        with pytest.raises(TypeError):
            names = ("d",) if make == kind.device else ("d", "m")
            make("x509_certificate", None, HOST_NAME, *names, sastoken_ttl=60)
    with pytest.raises(ValueError):
        kind.device("symmetric_key", "no key", HOST_NAME, device.device)


def test_a_client_that_was_shut_down_does_nothing_more(kind, device, module):
    for client in (
        kind.device("connection_string", device.connection_string),
        kind.module("connection_string", module.connection_string),
    ):
        client.connect()
        client.shutdown()
        for call in (client.connect, client.disconnect, client.shutdown):
            with pytest.raises(SHUT_DOWN):
                call()


def test_a_client_that_may_not_connect_by_itself_says_that_it_is_not_connected(kind, device, module):
    for client in (
        kind.device("connection_string", device.connection_string, auto_connect=False),
        kind.module("connection_string", module.connection_string, auto_connect=False),
    ):
        for call in (lambda: client.send_message("hello"), client.get_twin):
            with pytest.raises(NOT_CONNECTED):
                call()

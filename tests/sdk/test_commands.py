"""Messages from the cloud to a device: delivery, properties, order, what waits, what is counted."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from azure.iot.device import exceptions

from harness.waiting import Heard, until


def listen(client):
    """Sets a handler for messages; what it heard."""
    heard = Heard()
    client.on_message_received = heard
    return heard


def waiting(service, device):
    """How many messages wait for a device, as its identity and its twin tell."""
    identity = service.registry.get_device(device.device)
    return (identity.cloud_to_device_message_count, service.twin(device).cloud_to_device_message_count)


def test_a_device_gets_a_message_with_all_its_properties(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    heard = listen(client)
    assert client.on_message_received is heard
    system = {
        "messageId": "id 1",
        "correlationId": "a/b",
        "userId": "u&i",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
    }
    properties = {"k y": "v/1+2", "a&b": "c&d", "é": "日本", "empty": ""}
    service.send_command(device.device, {"body": {"go": True}, "properties": properties, "systemProperties": system})
    message = heard.wait("the message")
    assert json.loads(message.data) == {"go": True}
    assert (message.message_id, message.correlation_id, message.user_id) == ("id 1", "a/b", "u&i")
    assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")
    assert {key: value for key, value in message.custom_properties.items() if key[0] != "$"} == properties
    until("the message to be done", lambda: waiting(service, device) == (0, 0))


def test_messages_wait_for_a_device_and_come_in_their_order(kind, device, service):
    for number in range(5):
        service.send_command(device.device, {"bodyText": f"{number}"})
    assert waiting(service, device) == (5, 5)
    client = kind.device("connection_string", device.connection_string)
    heard = listen(client)
    assert [message.data for message in heard.wait_for_number(5)] == [b"0", b"1", b"2", b"3", b"4"]
    until("the messages to be done", lambda: waiting(service, device) == (0, 0))


def test_a_device_can_ask_for_messages_one_by_one(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    assert client.receive("receive_message", seconds=0.05) is None
    service.send_command(device.device, {"bodyText": "one"})
    service.send_command(device.device, {"bodyText": "two"})
    for expected in (b"one", b"two"):
        assert client.receive("receive_message", seconds=30).data == expected
    assert client.receive("receive_message", seconds=0.05) is None
    # Who asks cannot be called as well.
    with pytest.raises(exceptions.ClientError):
        listen(client)


def test_who_is_called_cannot_ask_for_messages(kind, device):
    client = kind.device("connection_string", device.connection_string)
    listen(client)
    with pytest.raises(exceptions.ClientError):
        client.receive("receive_message", seconds=1)


def test_a_message_that_has_expired_is_not_delivered(kind, device, service):
    soon = datetime.now(timezone.utc) + timedelta(seconds=1)
    service.send_command(device.device, {"bodyText": "short"}, expiry=soon.isoformat().replace("+00:00", "Z"))
    service.send_command(device.device, {"bodyText": "long"})
    until("the message to expire", lambda: waiting(service, device) == (1, 1))
    client = kind.device("connection_string", device.connection_string)
    heard = listen(client)
    assert heard.wait("the message that is left").data == b"long"


def test_the_command_line_sends_a_message_to_a_device(kind, device, hub):
    client = kind.device("connection_string", device.connection_string)
    heard = listen(client)
    hub.verb("hub", "send", device.device, "from the shell")
    assert heard.wait("the message").data == b"from the shell"


def test_a_module_may_listen_at_its_inputs_at_which_nothing_comes(kind, module, service):
    client = kind.module("connection_string", module.connection_string)
    heard = listen(client)
    assert client.on_message_received is heard
    client.send_message("still there")
    service.telemetry(module)
    assert client.connected and heard.all == []


def test_a_handler_that_is_taken_away_is_not_called_any_more(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    heard = listen(client)
    service.send_command(device.device, {"bodyText": "one"})
    heard.wait("the first message")
    client.on_message_received = None
    service.send_command(device.device, {"bodyText": "two"})
    assert waiting(service, device) == (1, 1)
    again = listen(client)
    assert again.wait("the second message").data == b"two"
    assert len(heard.all) == 1

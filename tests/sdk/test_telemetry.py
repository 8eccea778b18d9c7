"""Telemetry of devices and modules, as the hub's log has it."""

import base64
import threading
from datetime import datetime, timedelta

import pytest
from azure.iot.device import Message

# What the hub lets in: body and properties together.
MESSAGE_MAX_BYTES = 256 * 1024

# Everything that a bag has to carry: separators, signs that URLs give a meaning, other scripts, nothing.
PROPERTIES = {
    "k y": "v/1+2",
    "a&b=c": "d;e&f=g",
    "%41": "%2F %",
    "é": "日本語 🙂",
    "#": "?/#+$",
    "empty": "",
    "quote": "\"'<>",
}


def full_message(body):
    """A message with every property that a client can give it."""
    message = Message(body, message_id="id 1", content_encoding="utf-8", content_type="application/json")
    message.correlation_id = "a/b"
    message.user_id = "u&i"
    message.expiry_time_utc = datetime(2030, 1, 2, 3, 4, 5)
    message.custom_properties = dict(PROPERTIES)
    return message


def check_full_message(told):
    """What the hub tells of a message is what the client gave it."""
    assert told["body"] == {"temperature": 21.5}
    assert told["properties"] == PROPERTIES
    system = told["systemProperties"]
    assert (system["messageId"], system["correlationId"], system["userId"]) == ("id 1", "a/b", "u&i")
    assert (system["contentType"], system["contentEncoding"]) == ("application/json", "utf-8")
    assert system["absolute-expiry-time"].startswith("2030-01-02T03:04:05")


def test_a_message_of_a_device_arrives_with_all_its_properties(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    client.send_message(full_message('{"temperature": 21.5}'))
    (told,) = service.telemetry(device)
    check_full_message(told)
    assert told["device"] == device.device and told["module"] is None and told.get("output") is None
    assert told["systemProperties"]["connectionDeviceId"] == device.device


def test_a_message_to_an_output_of_a_module_arrives_with_all_its_properties(kind, module, service):
    client = kind.module("connection_string", module.connection_string)
    client.send_message_to_output(full_message('{"temperature": 21.5}'), "out 1/a")
    (told,) = service.telemetry(module)
    check_full_message(told)
    assert (told["device"], told["module"], told["output"]) == (module.device, module.module, "out 1/a")
    assert told["systemProperties"]["connectionModuleId"] == module.module


def test_a_message_of_a_module_without_an_output_arrives(kind, module, service):
    client = kind.module("connection_string", module.connection_string)
    client.send_message("hello")
    (told,) = service.telemetry(module)
    assert told.get("output") is None and told["bodyText"] == "hello" and told["properties"] == {}


@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff\x80binary", "é".encode(), b"x" * 200_000], ids=["empty", "binary", "text", "large"]
)
def test_a_body_of_any_bytes_arrives(kind, device, service, body):
    client = kind.device("connection_string", device.connection_string)
    client.send_message(Message(body))
    (told,) = service.telemetry(device)
    assert bytes_of(told) == body


def bytes_of(told):
    """The body of a line of telemetry, whichever of its forms it has."""
    if "bodyBase64" in told:
        return base64.b64decode(told["bodyBase64"])
    return told.get("bodyText", "").encode()


def test_a_message_that_is_too_large_is_refused_by_the_client(kind, device, module):
    for client in (
        kind.device("connection_string", device.connection_string),
        kind.module("connection_string", module.connection_string),
    ):
        with pytest.raises(ValueError):
            client.send_message("x" * MESSAGE_MAX_BYTES)
    with pytest.raises(ValueError):
        client.send_message_to_output("x" * MESSAGE_MAX_BYTES, "out")


def test_messages_arrive_in_the_order_in_which_they_are_sent(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    for number in range(20):
        client.send_message(str(number))
    assert [bytes_of(told) for told in service.telemetry(device, 20)] == [b"%d" % number for number in range(20)]


def test_many_messages_at_once_all_arrive(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    client.connect()
    senders = [threading.Thread(target=client.send_message, args=(f"{number}",)) for number in range(50)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    arrived = {bytes_of(told) for told in service.telemetry(device, 50)}
    assert arrived == {b"%d" % number for number in range(50)}


def test_a_client_cannot_say_that_another_one_sent_a_message(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    message = Message("hello")
    message.custom_properties = {"$.cdid": "another", "$.cmid": "other", "mine": "1"}
    client.send_message(message)
    (told,) = service.telemetry(device)
    assert told["device"] == device.device and told["module"] is None
    assert told["systemProperties"]["connectionDeviceId"] == device.device
    assert "connectionModuleId" not in told["systemProperties"]
    assert told["properties"] == {"mine": "1"}


def test_an_expired_date_does_not_hold_a_message_back(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    message = Message("late")
    message.expiry_time_utc = datetime(2020, 1, 1) - timedelta(days=1)
    client.send_message(message)
    (told,) = service.telemetry(device)
    assert bytes_of(told) == b"late"

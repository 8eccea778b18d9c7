"""Direct methods: called by the service and by modules, answered by devices and modules, and left unanswered."""

import json
import threading

import pytest
from azure.iot.device import MethodResponse, exceptions
from azure.iot.hub.models import CloudToDeviceMethod

from harness.client import NOT_CONNECTED, Kind
from harness.hub import HOST_NAME
from harness.service import refused
from harness.waiting import Heard


@pytest.fixture(params=["device", "module"])
def end(request, kind, device, module):
    """A device in one run and a module in the other, with its client."""
    if request.param == "module":
        return module, kind.module("connection_string", module.connection_string)
    return device, kind.device("connection_string", device.connection_string)


class Answering:
    """A handler that answers each request; the requests that came."""

    def __init__(self, client, status=200, answer=lambda request: {"echo": request.payload, "name": request.name}):
        self.requests = Heard()
        self._client = client
        self._status = status
        self._answer = answer
        client.on_method_request_received = self.handle

    def handle(self, request):
        """Answers a request with what was given."""
        self.requests(request)
        response = MethodResponse.create_from_method_request(request, self._status, self._answer(request))
        self._client.send_method_response(response)


def call(name, payload=None, response=30, connect=0):
    """A request as the service makes it."""
    return CloudToDeviceMethod(
        method_name=name,
        payload=payload,
        response_timeout_in_seconds=response,
        connect_timeout_in_seconds=connect,
    )


@pytest.mark.parametrize(
    "payload", [{"a": [1, 2.5, None, "é"]}, [], "text", 0, False], ids=["object", "array", "text", "zero", "false"]
)
def test_the_service_gets_the_answer_to_a_method(end, service, payload):
    identity, client = end
    answering = Answering(client, 200)
    result = service.invoke(identity, call("reboot", payload))
    assert (result.status, result.payload) == (200, {"echo": payload, "name": "reboot"})
    (request,) = answering.requests.all
    assert (request.name, request.payload) == ("reboot", payload)
    assert client.on_method_request_received == answering.handle


def test_the_status_is_the_methods_own_and_an_answer_may_be_empty(end, service):
    identity, client = end
    Answering(client, 404, lambda _: None)
    result = service.invoke(identity, call("find"))
    assert (result.status, result.payload) == (404, None)


@pytest.mark.parametrize("method", ["a b/c?d", "é&%2F#"], ids=["separators", "escapes"])
def test_a_method_may_have_any_name(end, service, method):
    identity, client = end
    answering = Answering(client)
    assert service.invoke(identity, call(method)).payload["name"] == method
    assert answering.requests.all[0].name == method


def test_a_client_can_ask_for_requests_one_by_one(end, service):
    identity, client = end
    assert client.receive("receive_method_request", seconds=0.05) is None
    results = Heard()
    caller = threading.Thread(target=lambda: results(service.invoke(identity, call("reboot", {"a": 1}))))
    caller.start()
    request = client.receive("receive_method_request", "reboot", seconds=30)
    assert (request.name, request.payload) == ("reboot", {"a": 1})
    client.send_method_response(MethodResponse.create_from_method_request(request, 200, {"done": True}))
    caller.join()
    assert results.all[0].payload == {"done": True}
    with pytest.raises(exceptions.ClientError):
        client.on_method_request_received = Heard()


def test_who_is_called_cannot_ask_for_requests(end):
    _, client = end
    client.on_method_request_received = Heard()
    with pytest.raises(exceptions.ClientError):
        client.receive("receive_method_request", seconds=1)


def test_calls_at_the_same_time_get_each_their_own_answer(end, service):
    identity, client = end
    requests = Heard()
    client.on_method_request_received = requests
    results = {}

    def invoke(number):
        results[number] = service.invoke(identity, call("echo", number)).payload

    callers = [threading.Thread(target=invoke, args=(number,)) for number in range(5)]
    for caller in callers:
        caller.start()
    # Answered in the other order.
    for request in reversed(requests.wait_for_number(5)):
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, request.payload))
    for caller in callers:
        caller.join()
    assert results == {number: number for number in range(5)}


def inner(caught):
    """What the text of a refused call holds."""
    return json.loads(json.loads(caught.value.response.text)["Message"])


def test_a_method_of_who_is_not_connected_or_does_not_listen_is_refused(end, service):
    identity, client = end
    with refused(404, "DeviceNotOnline") as caught:
        service.invoke(identity, call("reboot"))
    assert inner(caught)["errorCode"] == 404103
    client.connect()
    with refused(404, "DeviceNotOnline"):
        service.invoke(identity, call("reboot"))


def test_a_method_waits_for_a_target_that_connects_later(end, service):
    identity, client = end
    results = Heard()
    caller = threading.Thread(target=lambda: results(service.invoke(identity, call("reboot", 1, connect=60))))
    caller.start()
    Answering(client)
    caller.join()
    assert results.all[0].payload == {"echo": 1, "name": "reboot"}


def test_a_method_that_is_not_answered_in_its_time_is_refused(service, device, module, hub, loop):
    kind = Kind("sync", hub, loop)
    pairs = [
        (device, kind.device("connection_string", device.connection_string)),
        (module, kind.module("connection_string", module.connection_string)),
    ]
    ended = Heard()

    def invoke(identity):
        with refused(504, "GatewayTimeout") as caught:
            service.invoke(identity, call("sleep", response=5))
        ended(inner(caught)["errorCode"])

    callers = []
    for identity, client in pairs:
        requests = Heard()
        client.on_method_request_received = requests
        callers.append(threading.Thread(target=invoke, args=(identity,)))
        callers[-1].start()
        late = requests.wait("the request")
        pairs[len(callers) - 1] += (late,)
    for caller in callers:
        caller.join()
    assert ended.all == [504101, 504101]
    # A late answer is nothing that ends the connection.
    for _, client, late in pairs:
        client.send_method_response(MethodResponse.create_from_method_request(late, 200))
        client.send_message("still there")
        assert client.connected
    kind.close()


def test_a_request_against_the_rules_is_refused(end, service):
    identity, client = end
    Answering(client)
    for bad in (call("reboot", response=4), call("reboot", response=301), call("reboot", connect=301), call("")):
        with refused(400, "ArgumentInvalid"):
            service.invoke(identity, bad)
    with refused(400, "ArgumentInvalid"):
        service.invoke(identity, call("reboot", "x" * (128 * 1024)))


def test_a_method_of_who_is_not_there_is_refused(service, device):
    with refused(404, "DeviceNotFound"):
        service.registry.invoke_device_method("nobody", call("reboot"))
    with refused(404, "ModuleNotFound"):
        service.registry.invoke_device_module_method(device.device, "nobody", call("reboot"))


@pytest.fixture
def caller(kind, hub, service, device, monkeypatch):
    """A module of the device with a client that may call methods: one from an edge device's environment."""
    identity = service.new_module(device.device, "caller")
    monkeypatch.setenv("EdgeHubConnectionString", f"{identity.connection_string};GatewayHostName={HOST_NAME}")
    monkeypatch.setenv("EdgeModuleCACertificateFile", hub.ca_file)
    return kind.module("edge_environment")


def request_of_module(name, payload):
    """A request as a module makes it."""
    return {"methodName": name, "payload": payload, "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 2}


def test_a_module_calls_a_method_of_another_module_of_its_device(kind, caller, module):
    client = kind.module("connection_string", module.connection_string)
    answering = Answering(client, 201)
    result = caller.invoke_method(request_of_module("open", {"a": "é"}), module.device, module.module)
    assert result == {"status": 201, "payload": {"echo": {"a": "é"}, "name": "open"}}
    assert len(answering.requests.all) == 1


def test_a_module_calls_a_method_of_its_device(kind, caller, device):
    client = kind.device("connection_string", device.connection_string)
    Answering(client)
    result = caller.invoke_method(request_of_module("open", 1), device.device)
    assert result == {"status": 200, "payload": {"echo": 1, "name": "open"}}


def test_a_module_hears_that_the_one_it_calls_is_not_there(caller, module):
    request = {**request_of_module("open", 1), "connectTimeoutInSeconds": 0}
    with pytest.raises(exceptions.ClientError) as caught:
        caller.invoke_method(request, module.device, module.module)
    assert "404" in str(caught.value.__cause__)


def test_a_module_may_not_call_methods_of_another_device(kind, caller, service, name):
    other = service.new_device(f"{name}-other")
    client = kind.device("connection_string", other.connection_string)
    answering = Answering(client)
    with pytest.raises(exceptions.ClientError) as caught:
        caller.invoke_method(request_of_module("open", 1), other.device)
    assert "401" in str(caught.value.__cause__)
    assert answering.requests.all == []


def test_an_answer_without_a_connection_is_refused_by_the_client(kind, device, module):
    for client in (
        kind.device("connection_string", device.connection_string, auto_connect=False),
        kind.module("connection_string", module.connection_string, auto_connect=False),
    ):
        with pytest.raises(NOT_CONNECTED):
            client.send_method_response(MethodResponse("1", 200))

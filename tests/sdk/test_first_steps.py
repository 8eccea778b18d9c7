"""What anyone tries first: a client from a module's connection string, and the twins of a device and of its module."""

from azure.iot.hub.models import Twin, TwinProperties


def test_a_client_from_a_modules_connection_string_opens_and_gets_its_twin(kind, module, service):
    client = kind.module("connection_string", module.connection_string)
    client.connect()
    assert client.connected
    twin = client.get_twin()
    assert twin == {"desired": {"$version": 1}, "reported": {"$version": 1}}
    service.wait_until_connected(module)


def shape(value):
    """The structure of a JSON value: its keys, and the types of what has none."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def fill(client, identity, service):
    """Gives a twin some properties from both sides."""
    desired = {"interval": 5, "deep": {"list": [1, "two", {"three": 3.5}], "text": "é"}}
    service.patch_twin(identity, Twin(tags={"site": "north"}, properties=TwinProperties(desired=desired)))
    client.patch_twin_reported_properties({"firmware": "1.2", "deep": {"on": True}})


def test_a_client_sees_the_twin_of_a_module_as_it_sees_that_of_a_device(kind, device, module, service):
    seen = []
    for client, identity in (
        (kind.device("connection_string", device.connection_string), device),
        (kind.module("connection_string", module.connection_string), module),
    ):
        fill(client, identity, service)
        seen.append(client.get_twin())
    assert seen[0] == seen[1]
    assert seen[0] == {
        "desired": {"interval": 5, "deep": {"list": [1, "two", {"three": 3.5}], "text": "é"}, "$version": 2},
        "reported": {"firmware": "1.2", "deep": {"on": True}, "$version": 2},
    }


# What a twin tells of a device that is no matter of a module: its place among edge devices, and why it is disabled.
OF_A_DEVICE_ALONE = {"capabilities", "statusReason", "deviceScope", "parentScopes", "configurations"}


def test_the_service_sees_the_twin_of_a_module_as_it_sees_that_of_a_device(kind, device, module, service):
    fill(kind.device("connection_string", device.connection_string), device, service)
    fill(kind.module("connection_string", module.connection_string), module, service)
    of_device = service.twin(device)
    of_module = service.twin(module)
    assert (of_device.device_id, of_device.module_id) == (device.device, None)
    assert (of_module.device_id, of_module.module_id) == (device.device, module.module)
    assert shape(of_module.properties.desired) == shape(of_device.properties.desired)
    assert shape(of_module.properties.reported) == shape(of_device.properties.reported)
    device_keys = {key for key, value in of_device.serialize().items()}
    module_keys = {key for key, value in of_module.serialize().items()}
    assert module_keys - {"moduleId"} == device_keys - OF_A_DEVICE_ALONE
    for twin in (of_device, of_module):
        desired, reported = twin.properties.desired, twin.properties.reported
        assert (desired["$version"], reported["$version"], twin.tags) == (2, 2, {"site": "north"})
        assert desired["$metadata"]["deep"]["text"]["$lastUpdatedVersion"] == 2
        assert "$lastUpdatedVersion" not in reported["$metadata"]["deep"]
        assert twin.authentication_type == "sas" and twin.status == "enabled"
        assert twin.connection_state == "Connected"

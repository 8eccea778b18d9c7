"""Many identities in one call."""

import pytest
from azure.iot.hub.models import (
    AuthenticationMechanism,
    DeviceCapabilities,
    ExportImportDevice,
    PropertyContainer,
    SymmetricKey,
)

from harness.service import refused
from harness.tokens import new_key


def item(name, mode, **fields):
    """One entry of a call."""
    keys = SymmetricKey(primary_key=new_key(), secondary_key=new_key())
    fields.setdefault("authentication", AuthenticationMechanism(type="sas", symmetric_key=keys))
    return ExportImportDevice(id=name, import_mode=mode, status=fields.pop("status", "enabled"), **fields)


def create(service, *names):
    """Makes devices in one call."""
    return service.registry.bulk_create_or_update_devices([item(name, "create") for name in names])


def test_devices_are_made_changed_and_deleted(service, name):
    registry, names = service.registry, [f"{name}-{number}" for number in range(5)]
    result = create(service, *names)
    assert result.is_successful is True and not result.errors
    assert all(registry.get_device(each).status == "enabled" for each in names)
    result = registry.bulk_create_or_update_devices([item(each, "update", status="disabled") for each in names])
    assert result.is_successful is True
    assert all(registry.get_device(each).status == "disabled" for each in names)
    result = registry.bulk_create_or_update_devices([item(each, "delete") for each in names])
    assert result.is_successful is True
    for each in names:
        with refused(404, "DeviceNotFound"):
            registry.get_device(each)


def test_modules_and_edge_devices_and_their_twins_are_made(service, name):
    edge = item(
        name,
        "create",
        capabilities=DeviceCapabilities(iot_edge=True),
        tags={"site": "north"},
        properties=PropertyContainer(desired={"interval": 5}),
    )
    assert service.registry.bulk_create_or_update_devices([edge]).is_successful is True
    module = item(name, "create", module_id="insight")
    assert service.registry.bulk_create_or_update_devices([module]).is_successful is True
    twin = service.registry.get_twin(name)
    assert twin.tags == {"site": "north"} and twin.properties.desired["interval"] == 5
    names = [module.module_id for module in service.registry.get_modules(name)]
    assert sorted(names) == ["$edgeAgent", "$edgeHub", "insight"]


def test_twins_are_changed(service, device):
    change = item(device.device, "updateTwin", tags={"a": 1}, properties=PropertyContainer(desired={"b": 2}))
    assert service.registry.bulk_create_or_update_devices([change]).is_successful is True
    twin = service.registry.get_twin(device.device)
    assert twin.tags == {"a": 1} and twin.properties.desired["b"] == 2
    guarded = item(device.device, "updateTwinIfMatchETag", tags={"a": 3}, twin_etag="AAAA")
    result = service.registry.bulk_create_or_update_devices([guarded])
    assert result.is_successful is False and service.registry.get_twin(device.device).tags == {"a": 1}
    guarded.twin_etag = service.registry.get_twin(device.device).etag
    assert service.registry.bulk_create_or_update_devices([guarded]).is_successful is True
    assert service.registry.get_twin(device.device).tags == {"a": 3}


def test_what_is_wrong_with_one_is_told_of_that_one_and_the_others_are_done(service, device, name):
    new = f"{name}-new"
    result = create(service, device.device, new)
    assert result.is_successful is False
    (error,) = result.errors
    assert error.device_id == device.device and error.error_code == "DeviceAlreadyExists"
    assert service.registry.get_device(new).device_id == new


@pytest.mark.parametrize("mode", ["updateIfMatchETag", "deleteIfMatchETag"])
def test_an_etag_guards_each_of_them(service, device, mode):
    registry = service.registry
    result = registry.bulk_create_or_update_devices([item(device.device, mode, e_tag="AAAA", status="disabled")])
    assert result.is_successful is False and result.errors[0].error_code == "PreconditionFailed"
    etag = registry.get_device(device.device).etag
    result = registry.bulk_create_or_update_devices([item(device.device, mode, e_tag=etag, status="disabled")])
    assert result.is_successful is True


def test_more_than_a_hundred_are_refused_as_a_whole(service, name):
    names = [f"{name}-{number}" for number in range(101)]
    result = create(service, *names)
    assert not result or not result.is_successful
    with refused(404, "DeviceNotFound"):
        service.registry.get_device(names[0])


def test_who_has_no_right_to_write_is_refused(stranger):
    with refused(401, "IotHubUnauthorizedAccess"):
        create(stranger, "nobody")

"""The identity registry: devices and modules of each kind, made, read, changed, listed, deleted, and refused."""

import base64

import pytest

from harness.service import refused
from harness.tokens import new_key

PRINTS = ("A" * 40, "b" * 40)


class Devices:
    """The calls for devices of one kind of credentials."""

    def __init__(self, registry, kind, given):
        names = {"sas": "sas", "selfSigned": "x509", "certificateAuthority": "certificate_authority"}
        self._create = getattr(registry, f"create_device_with_{names[kind]}")
        self._update = getattr(registry, f"update_device_with_{names[kind]}")
        self.given = given

    def create(self, name, status="enabled", **options):
        """Makes one."""
        return self._create(name, *self.given, status, **options)

    def update(self, name, etag, status="enabled", **options):
        """Changes one."""
        return self._update(name, etag, *self.given, status, **options)


class Modules:
    """The calls for modules of one kind of credentials, on one device."""

    def __init__(self, registry, kind, given, device):
        names = {"sas": "sas", "selfSigned": "x509", "certificateAuthority": "certificate_authority"}
        self._create = getattr(registry, f"create_module_with_{names[kind]}")
        self._update = getattr(registry, f"update_module_with_{names[kind]}")
        self._device = device
        self.given = given

    def create(self, name):
        """Makes one."""
        return self._create(self._device, name, "", *self.given)

    def update(self, name, etag):
        """Changes one."""
        return self._update(self._device, name, "", etag, *self.given)


def credentials(kind):
    """What is given of credentials of a kind."""
    return {"sas": (new_key(), new_key()), "selfSigned": PRINTS, "certificateAuthority": ()}[kind]


KINDS = ["sas", "selfSigned", "certificateAuthority"]


@pytest.fixture(params=KINDS)
def of_kind(request):
    """Each kind of credentials in turn."""
    return request.param


def check_credentials(authentication, kind, given):
    """The credentials are of this kind, and the given ones."""
    assert authentication.type == kind
    if kind == "sas":
        keys = authentication.symmetric_key
        assert (keys.primary_key, keys.secondary_key) == given
    if kind == "selfSigned":
        prints = authentication.x509_thumbprint
        assert (prints.primary_thumbprint.upper(), prints.secondary_thumbprint.upper()) == tuple(
            print_.upper() for print_ in given
        )


def test_a_device_is_made_and_read_and_deleted(service, of_kind, name):
    registry, devices = service.registry, Devices(service.registry, of_kind, credentials(of_kind))
    made = devices.create(name, status_reason="new")
    read = registry.get_device(name)
    assert made.serialize() == read.serialize()
    assert (read.device_id, read.status, read.status_reason) == (name, "enabled", "new")
    assert (read.connection_state, read.cloud_to_device_message_count) == ("Disconnected", 0)
    assert read.capabilities.iot_edge is False and read.generation_id and read.etag
    check_credentials(read.authentication, of_kind, devices.given)
    registry.delete_device(name)
    with refused(404, "DeviceNotFound"):
        registry.get_device(name)
    assert devices.create(name).generation_id != read.generation_id


def test_a_device_is_changed_and_its_etag_guards_it(service, of_kind, name):
    registry, devices = service.registry, Devices(service.registry, of_kind, credentials(of_kind))
    made = devices.create(name)
    changed = devices.update(name, made.etag, "disabled", status_reason="broken")
    assert (changed.status, changed.status_reason) == ("disabled", "broken")
    assert changed.generation_id == made.generation_id and changed.etag != made.etag
    with refused(412, "PreconditionFailed"):
        devices.update(name, made.etag)
    assert registry.get_device(name).status == "disabled"
    assert devices.update(name, None).status == "enabled"
    assert service.registry.get_twin(name).status == "enabled"


def test_what_is_there_is_not_made_again_and_what_is_not_there_is_not_changed(service, of_kind, name):
    devices = Devices(service.registry, of_kind, credentials(of_kind))
    with refused(404, "DeviceNotFound"):
        devices.update(name, None)
    devices.create(name)
    with refused(409, "DeviceAlreadyExists"):
        devices.create(name)


def test_keys_that_are_left_empty_are_made_by_the_hub(service, name):
    registry = service.registry
    registry.create_device_with_sas(name, "", "", "enabled")
    keys = registry.get_device(name).authentication.symmetric_key
    assert len(base64.b64decode(keys.primary_key)) >= 32
    assert keys.primary_key != keys.secondary_key


def test_credentials_that_are_none_are_refused(service, name):
    registry = service.registry
    for keys in (("no base64!", new_key()), (base64.b64encode(b"short").decode(), new_key())):
        with refused(400, "ArgumentInvalid"):
            registry.create_device_with_sas(name, *keys, "enabled")
    with refused(400, "ArgumentInvalid"):
        registry.create_device_with_x509(name, "no thumbprint", "", "enabled")
    with refused(400, "ArgumentInvalid"):
        registry.create_device_with_sas(name, new_key(), new_key(), "asleep")


def test_an_edge_device_gets_its_two_modules_and_a_scope(service, of_kind, name):
    registry = service.registry
    edge = Devices(registry, of_kind, credentials(of_kind)).create(name, iot_edge=True)
    assert edge.capabilities.iot_edge is True and edge.device_scope.startswith(f"ms-azure-iot-edge://{name}-")
    assert [module.module_id for module in registry.get_modules(name)] == ["$edgeAgent", "$edgeHub"]
    assert registry.get_module_twin(name, "$edgeAgent").module_id == "$edgeAgent"
    leaf = registry.create_device_with_sas(f"{name}-leaf", "", "", "enabled", device_scope=edge.device_scope)
    assert leaf.device_scope == edge.device_scope


def test_a_device_with_an_odd_name_is_found_under_it(service, of_kind):
    name = f"odd-{of_kind}-.+%_#*?!(),:=@$'"
    devices = Devices(service.registry, of_kind, credentials(of_kind))
    devices.create(name)
    assert service.registry.get_device(name).device_id == name
    assert service.registry.get_twin(name).device_id == name
    service.registry.delete_device(name)


def test_deleting_is_guarded_by_the_etag(service, device, module):
    registry = service.registry
    with refused(412, "PreconditionFailed"):
        registry.delete_module(module.device, module.module, "AAAA")
    with refused(412, "PreconditionFailed"):
        registry.delete_device(device.device, "AAAA")
    registry.delete_module(module.device, module.module, registry.get_module(module.device, module.module).etag)
    registry.delete_device(device.device, registry.get_device(device.device).etag)
    with refused(404, "DeviceNotFound"):
        registry.delete_device(device.device)


def test_a_module_is_made_and_read_and_deleted(service, of_kind, device):
    registry = service.registry
    modules = Modules(registry, of_kind, credentials(of_kind), device.device)
    made = modules.create("insight")
    read = registry.get_module(device.device, "insight")
    assert made.serialize() == read.serialize()
    assert (read.device_id, read.module_id, read.connection_state) == (device.device, "insight", "Disconnected")
    check_credentials(read.authentication, of_kind, modules.given)
    assert [module.module_id for module in registry.get_modules(device.device)] == ["insight"]
    registry.delete_module(device.device, "insight")
    assert registry.get_modules(device.device) == []
    with refused(404, "ModuleNotFound"):
        registry.get_module(device.device, "insight")
    with refused(404, "ModuleNotFound"):
        registry.delete_module(device.device, "insight")


def test_a_module_is_changed_and_its_etag_guards_it(service, of_kind, device):
    modules = Modules(service.registry, of_kind, credentials(of_kind), device.device)
    with refused(404, "ModuleNotFound"):
        modules.update("insight", None)
    made = modules.create("insight")
    changed = modules.update("insight", made.etag)
    assert changed.etag != made.etag and changed.generation_id == made.generation_id
    with refused(412, "PreconditionFailed"):
        modules.update("insight", made.etag)
    with refused(409, "ModuleAlreadyExistsOnDevice"):
        modules.create("insight")
    modules.update("insight", None)


def test_there_are_no_modules_of_a_device_that_is_not_there(service, of_kind):
    modules = Modules(service.registry, of_kind, credentials(of_kind), "nobody")
    with refused(404, "DeviceNotFound"):
        modules.create("insight")
    with refused(404, "DeviceNotFound"):
        service.registry.get_modules("nobody")


def test_deleting_a_device_deletes_its_modules(service, device, module):
    registry = service.registry
    registry.delete_device(device.device)
    service.new_device(device.device)
    assert registry.get_modules(device.device) == []


def test_devices_are_listed_up_to_a_number(service, name):
    registry = service.registry
    names = {f"{name}-{number}" for number in range(3)}
    for each in names:
        service.new_device(each)
    assert names <= {device.device_id for device in registry.get_devices()}
    assert len(registry.get_devices(2)) == 2


def test_the_statistics_count_devices_and_connections(service, kind, device, name):
    registry = service.registry
    before = registry.get_device_registry_statistics()
    registry.create_device_with_sas(name + "-on", "", "", "enabled")
    registry.create_device_with_sas(name + "-off", "", "", "disabled")
    after = registry.get_device_registry_statistics()
    grown = [
        getattr(after, field) - getattr(before, field)
        for field in ("total_device_count", "enabled_device_count", "disabled_device_count")
    ]
    assert grown == [2, 1, 1]
    connected = registry.get_service_statistics().connected_device_count
    kind.device("connection_string", device.connection_string).connect()
    service.wait_until_connected(device)
    assert registry.get_service_statistics().connected_device_count == connected + 1


def test_who_has_no_right_to_the_registry_is_refused(stranger):
    registry = stranger.registry
    for call in (
        registry.get_devices,
        registry.get_device_registry_statistics,
        registry.get_service_statistics,
        lambda: registry.get_device("nobody"),
        lambda: registry.create_device_with_sas("nobody", "", "", "enabled"),
        lambda: registry.get_twin("nobody"),
        lambda: registry.delete_device("nobody"),
    ):
        with refused(401, "IotHubUnauthorizedAccess"):
            call()


def test_what_is_no_connection_string_is_refused_by_the_client(service):
    for manager in (service.registry, service.configurations, service.jobs, service.feedback, service.digital_twins):
        with pytest.raises(ValueError):
            type(manager).from_connection_string("HostName=localhost")
        with pytest.raises(ValueError):
            type(manager).from_connection_string("nothing")
        again = type(manager).from_connection_string(service.connection_string)
        assert isinstance(again, type(manager))

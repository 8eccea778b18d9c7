"""Twins from both sides: desired and reported properties, tags, etags, versions, and what is refused."""

import threading

import pytest
from azure.iot.device import exceptions
from azure.iot.hub.models import Twin, TwinProperties

from harness.service import refused
from harness.waiting import Heard, until


@pytest.fixture(params=["device", "module"])
def end(request, kind, service, name):
    """A device in one run and a module in the other, with its client."""
    identity = service.new_device(name)
    if request.param == "module":
        identity = service.new_module(identity.device, "insight")
        return identity, kind.module("connection_string", identity.connection_string)
    return identity, kind.device("connection_string", identity.connection_string)


def desired(**properties):
    """A patch of desired properties."""
    return Twin(properties=TwinProperties(desired=properties))


def test_the_service_sees_what_is_reported(end, service):
    identity, client = end
    client.patch_twin_reported_properties({"firmware": "1.2", "deep": {"a": 1, "b": [1, {"c": 2}]}})
    client.patch_twin_reported_properties({"deep": {"a": None, "d": "é"}})
    reported = service.twin(identity).properties.reported
    assert reported["$version"] == 3 and reported["firmware"] == "1.2"
    assert reported["deep"] == {"b": [1, {"c": 2}], "d": "é"}
    assert client.get_twin()["reported"] == {key: reported[key] for key in ("firmware", "deep", "$version")}


def test_the_client_is_called_with_each_desired_change(end, service):
    identity, client = end
    heard = Heard()
    client.on_twin_desired_properties_patch_received = heard
    assert client.on_twin_desired_properties_patch_received is heard
    service.patch_twin(identity, desired(interval=5, deep={"a": 1}))
    service.patch_twin(identity, desired(interval=None, deep={"b": 2}))
    wanted = [
        {"interval": 5, "deep": {"a": 1}, "$version": 2},
        {"interval": None, "deep": {"b": 2}, "$version": 3},
    ]
    assert heard.wait_for_number(2) == wanted
    assert client.get_twin()["desired"] == {"deep": {"a": 1, "b": 2}, "$version": 3}


def test_the_client_can_ask_for_desired_changes_one_by_one(end, service):
    identity, client = end
    assert client.receive("receive_twin_desired_properties_patch", seconds=0.05) is None
    for interval in (5, 6):
        service.patch_twin(identity, desired(interval=interval))
    for version, interval in ((2, 5), (3, 6)):
        patch = client.receive("receive_twin_desired_properties_patch", seconds=30)
        assert patch == {"interval": interval, "$version": version}
    with pytest.raises(exceptions.ClientError):
        client.on_twin_desired_properties_patch_received = Heard()


def test_who_is_called_cannot_ask_for_changes(end):
    _, client = end
    client.on_twin_desired_properties_patch_received = Heard()
    with pytest.raises(exceptions.ClientError):
        client.receive("receive_twin_desired_properties_patch", seconds=1)


def test_a_change_while_the_client_is_away_reaches_it_when_it_is_back(end, service):
    identity, client = end
    heard = Heard()
    client.on_twin_desired_properties_patch_received = heard
    # After a connection the SDK asks for the twin, and hears the answer only if it was asked for before.
    client.get_twin()
    service.patch_twin(identity, desired(interval=5))
    heard.wait_for_number(1)
    client.disconnect()
    service.patch_twin(identity, desired(interval=6))
    client.connect()
    assert heard.wait("the change", lambda patch: patch["$version"] == 3)["interval"] == 6


@pytest.mark.parametrize(
    "patch",
    [{"a.b": 1}, {"$a": 1}, {"a b": 1}, {"a": "x" * 4097}, {"a": 4503599627370496}, {"a": [None]}],
    ids=["dot", "dollar", "space", "long", "large", "null in an array"],
)
def test_a_report_against_the_rules_is_refused_and_changes_nothing(end, service, patch):
    identity, client = end
    with pytest.raises(exceptions.ClientError) as caught:
        client.patch_twin_reported_properties(patch)
    assert "status 400" in str(caught.value.__cause__)
    client.patch_twin_reported_properties({"good": 1})
    reported = service.twin(identity).properties.reported
    assert reported["good"] == 1 and reported["$version"] == 2 and len(reported) == 3


def test_reports_from_many_threads_all_count(end, service):
    identity, client = end
    client.connect()
    reports = [
        threading.Thread(target=client.patch_twin_reported_properties, args=({f"key{number}": number},))
        for number in range(20)
    ]
    for report in reports:
        report.start()
    for report in reports:
        report.join()
    reported = service.twin(identity).properties.reported
    assert reported["$version"] == 21
    assert all(reported[f"key{number}"] == number for number in range(20))


def test_a_handler_may_report_what_is_desired_of_it(end, service):
    identity, client = end
    patches = Heard()
    client.on_twin_desired_properties_patch_received = patches
    service.patch_twin(identity, desired(interval=7))
    patch = patches.wait("the change", lambda patch: "interval" in patch)
    client.patch_twin_reported_properties({"interval": patch["interval"], "seen": patch["$version"]})
    reported = service.wait_for_reported(identity, lambda reported: "seen" in reported)
    assert (reported["interval"], reported["seen"]) == (7, 2)


class OfTheService:
    """The calls of the service SDK for the twin of a device or of a module."""

    def __init__(self, service, identity):
        registry = service.registry
        names = (identity.device, identity.module) if identity.module else (identity.device,)
        kind = "module_" if identity.module else ""
        self.get = lambda: getattr(registry, f"get_{kind}twin")(*names)
        self.update = lambda *args: getattr(registry, f"update_{kind}twin")(*names, *args)
        self.replace = lambda *args: getattr(registry, f"replace_{kind}twin")(*names, *args)


@pytest.fixture(params=["device", "module"])
def twin(request, service, device):
    """The twin of a device in one run and of a module in the other."""
    identity = service.new_module(device.device, "insight") if request.param == "module" else device
    return OfTheService(service, identity)


def test_a_patch_merges_tags_and_desired_properties(twin):
    before = twin.get()
    twin.update(Twin(tags={"site": {"floor": 1, "room": "a"}}, properties=TwinProperties(desired={"a": {"b": 1}})))
    twin.update(Twin(tags={"site": {"floor": None}}, properties=TwinProperties(desired={"a": {"c": [1, 2]}})))
    after = twin.get()
    assert after.tags == {"site": {"room": "a"}}
    assert after.properties.desired["a"] == {"b": 1, "c": [1, 2]}
    assert after.properties.desired["$version"] == before.properties.desired["$version"] + 2
    assert after.properties.reported["$version"] == before.properties.reported["$version"]
    assert after.version == before.version + 2 and after.etag != before.etag


def test_replacing_leaves_only_what_is_given(twin):
    twin.update(Twin(tags={"old": 1}, properties=TwinProperties(desired={"old": 1})))
    answer = twin.replace(Twin(tags={"new": 1}, properties=TwinProperties(desired={"new": 2})))
    for seen in (answer, twin.get()):
        assert seen.tags == {"new": 1}
        assert {key: value for key, value in seen.properties.desired.items() if key[0] != "$"} == {"new": 2}


def test_an_etag_guards_a_twin(twin):
    etag = twin.get().etag
    change = Twin(tags={"n": 1})
    twin.update(change, etag)
    for write in (twin.update, twin.replace):
        with refused(412, "PreconditionFailed"):
            write(Twin(tags={"n": 2}), etag)
    assert twin.get().tags == {"n": 1}
    twin.replace(Twin(tags={"n": 3}), twin.get().etag)
    assert twin.get().tags == {"n": 3}


@pytest.mark.parametrize(
    "bad", [{"a.b": 1}, {"a": "x" * 4097}, {"$x": 1}, {"a": {"b c": 1}}], ids=["dot", "long", "dollar", "space"]
)
def test_a_twin_against_the_rules_is_refused_and_changes_nothing(twin, bad):
    before = twin.get().version
    for write in (twin.update, twin.replace):
        with refused(400, "ArgumentInvalid"):
            write(Twin(tags=bad))
        with refused(400, "ArgumentInvalid"):
            write(Twin(properties=TwinProperties(desired=bad)))
    assert twin.get().version == before


def test_there_is_no_twin_of_who_is_not_there(service, device):
    registry, change = service.registry, Twin(tags={})
    for call in (
        lambda: registry.get_twin("nobody"),
        lambda: registry.update_twin("nobody", change),
        lambda: registry.replace_twin("nobody", change),
    ):
        with refused(404, "DeviceNotFound"):
            call()
    for call in (
        lambda: registry.get_module_twin(device.device, "nobody"),
        lambda: registry.update_module_twin(device.device, "nobody", change),
        lambda: registry.replace_module_twin(device.device, "nobody", change),
    ):
        with refused(404, "ModuleNotFound"):
            call()


def test_a_twin_that_was_read_is_written_back_with_a_change(end, service):
    identity, client = end
    client.patch_twin_reported_properties({"firmware": "1.2"})
    twin = OfTheService(service, identity)
    twin.update(Twin(tags={"site": "north"}, properties=TwinProperties(desired={"interval": 5})))
    for number, write in enumerate((twin.update, twin.replace)):
        read = twin.get()
        read.tags["number"] = number
        # It holds metadata, versions and what was reported, none of which the service writes.
        read.properties.reported["firmware"] = "9.9"
        write(read, read.etag)
        after = twin.get()
        assert after.tags == {"site": "north", "number": number}
        assert after.properties.desired["interval"] == 5
        assert after.properties.reported == {**read.properties.reported, "firmware": "1.2"}


def test_the_twin_tells_whether_its_client_is_connected(end, service):
    identity, client = end
    client.connect()
    service.wait_until_connected(identity)
    client.disconnect()
    until("the hub to see it go", lambda: service.twin(identity).connection_state == "Disconnected")

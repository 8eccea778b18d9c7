"""Configurations and deployments: made, applied to what they target, layered, changed, deleted, and refused."""

import pytest
from azure.iot.hub.models import (
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    ConfigurationQueriesTestInput,
    Twin,
)

from harness.hub import Identity
from harness.service import refused
from harness.waiting import until


def of_devices(name, desired, priority=10, condition=None):
    """A configuration of the desired properties of the devices that have the tag."""
    return Configuration(
        id=name.lower(),
        schema_version="2.0",
        labels={"made": "here"},
        content=ConfigurationContent(
            device_content={f"properties.desired.{key}": value for key, value in desired.items()}
        ),
        target_condition=condition or f"tags.fleet='{name}'",
        priority=priority,
        metrics=ConfigurationMetrics(queries={"all": f"SELECT deviceId FROM devices WHERE tags.fleet='{name}'"}),
    )


def of_modules(image, interval):
    """The content of a deployment with one module."""
    runtime = {"type": "docker", "settings": {"minDockerVersion": "v1.25"}}
    system = {
        "edgeAgent": {"type": "docker", "settings": {"image": "agent:1"}},
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": "hub:1"},
        },
    }
    module = {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "version": "1.0",
        "settings": {"image": image},
    }
    agent = {"schemaVersion": "1.1", "runtime": runtime, "systemModules": system, "modules": {"insight": module}}
    hub = {
        "schemaVersion": "1.1",
        "routes": {"up": "FROM /messages/* INTO $upstream"},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }
    return ConfigurationContent(
        modules_content={
            "$edgeAgent": {"properties.desired": agent},
            "$edgeHub": {"properties.desired": hub},
            "insight": {"properties.desired": {"interval": interval}},
        }
    )


@pytest.fixture
def edge(service, name):
    """An edge device with the tag that the configurations of the test look for."""
    device = service.new_device(name, iot_edge=True)
    service.patch_twin(device, Twin(tags={"fleet": name}))
    return device


@pytest.fixture
def manager(service, name):
    """The manager of configurations; those of the test are deleted afterwards."""
    yield service.configurations
    for each in service.configurations.get_configurations():
        service.configurations.delete_configuration(each.id)


def desired(service, device, key):
    """A desired property of a device."""
    return service.twin(device).properties.desired.get(key)


def test_a_configuration_is_applied_to_the_devices_it_targets(service, manager, edge, name):
    other = service.new_device(f"{name}-other")
    made = manager.create_configuration(of_devices(name, {"rate": 5}))
    assert made.id == name.lower() and made.etag and made.created_time_utc
    until("the configuration to be applied", lambda: desired(service, edge, "rate") == 5)
    assert desired(service, other, "rate") is None
    read = manager.get_configuration(made.id)
    assert (read.labels, read.priority, read.target_condition) == ({"made": "here"}, 10, f"tags.fleet='{name}'")
    assert read.content.device_content == {"properties.desired.rate": 5}
    until(
        "the metrics to tell it",
        lambda: manager.get_configuration(made.id).system_metrics.results.get("appliedCount") == 1,
    )
    assert manager.get_configuration(made.id).system_metrics.results["targetedCount"] == 1
    until("the own metric to tell it", lambda: manager.get_configuration(made.id).metrics.results.get("all") == 1)


def test_a_device_that_gets_the_tag_later_gets_the_configuration(service, manager, device, name):
    manager.create_configuration(of_devices(name, {"rate": 5}))
    service.patch_twin(device, Twin(tags={"fleet": name}))
    until("the configuration to be applied", lambda: desired(service, device, "rate") == 5)


def test_the_higher_priority_wins_and_the_other_comes_back(service, manager, edge, name):
    low = of_devices(name, {"rate": 1}, 1)
    high = of_devices(name, {"rate": 9}, 9)
    high.id += "-high"
    manager.create_configuration(low)
    manager.create_configuration(high)
    until("the higher one to be applied", lambda: desired(service, edge, "rate") == 9)
    manager.delete_configuration(high.id)
    until("the lower one to be applied", lambda: desired(service, edge, "rate") == 1)


def test_a_deployment_gives_modules_their_desired_properties(service, manager, edge, name):
    deployment = of_devices(name, {})
    deployment.content = of_modules("registry.example/insight:1", 5)
    manager.create_configuration(deployment)

    def modules():
        agent = service.registry.get_module_twin(edge.device, "$edgeAgent")
        return (agent.properties.desired.get("modules") or {}).get("insight")

    assert until("the deployment to be applied", modules)["settings"]["image"] == "registry.example/insight:1"
    hub = service.registry.get_module_twin(edge.device, "$edgeHub")
    assert hub.properties.desired["routes"] == {"up": "FROM /messages/* INTO $upstream"}


def test_a_configuration_is_changed_and_its_etag_guards_it(service, manager, edge, name):
    made = manager.create_configuration(of_devices(name, {"rate": 5}))
    with refused(409, "ConfigurationAlreadyExists"):
        manager.create_configuration(of_devices(name, {"rate": 5}))
    made.priority, made.labels = 20, {"made": "again"}
    changed = manager.update_configuration(made, f'"{made.etag}"')
    assert (changed.priority, changed.labels) == (20, {"made": "again"}) and changed.etag != made.etag
    with refused(412, "PreconditionFailed"):
        manager.update_configuration(made, f'"{made.etag}"')
    with refused(412, "PreconditionFailed"):
        manager.delete_configuration(made.id, f'"{made.etag}"')
    manager.delete_configuration(made.id, f'"{changed.etag}"')
    with refused(404, "ConfigurationNotFound"):
        manager.get_configuration(made.id)
    with refused(404, "ConfigurationNotFound"):
        manager.delete_configuration(made.id)


def test_configurations_are_listed(manager, name):
    for number in range(3):
        each = of_devices(name, {"rate": number})
        each.id += f"-{number}"
        manager.create_configuration(each)
    assert [each.id for each in manager.get_configurations()] == [f"{name.lower()}-{number}" for number in range(3)]
    assert len(manager.get_configurations(2)) == 2


@pytest.mark.parametrize("condition", ["tags.fleet = ", "tags.site = = 1", "deviceId IN"])
def test_a_condition_that_is_none_is_refused(manager, name, condition):
    with refused(400, "ArgumentInvalid"):
        manager.create_configuration(of_devices(name, {"rate": 5}, condition=condition))
    assert manager.get_configurations() == []


def test_queries_of_a_configuration_are_tried(manager):
    good = ConfigurationQueriesTestInput(
        target_condition="tags.site='north'",
        custom_metric_queries={"all": "SELECT deviceId FROM devices"},
    )
    answer = manager.test_configuration_queries(good)
    assert not answer.target_condition_error and not answer.custom_metric_query_errors
    bad = ConfigurationQueriesTestInput(
        target_condition="tags.site =", custom_metric_queries={"all": "SELECT", "good": "SELECT * FROM devices"}
    )
    answer = manager.test_configuration_queries(bad)
    assert answer.target_condition_error
    assert list(answer.custom_metric_query_errors) == ["all"]


def test_content_is_applied_to_one_edge_device(service, kind, edge):
    manager = service.configurations
    manager.apply_configuration_on_edge_device(edge.device, of_modules("registry.example/insight:1", 5))
    registry = service.registry
    names = sorted(module.module_id for module in registry.get_modules(edge.device))
    assert names == ["$edgeAgent", "$edgeHub", "insight"]
    agent = registry.get_module_twin(edge.device, "$edgeAgent").properties.desired
    assert agent["modules"]["insight"]["settings"]["image"] == "registry.example/insight:1"
    # The module itself gets what is desired of it.
    keys = registry.get_module(edge.device, "insight").authentication.symmetric_key
    insight = Identity(edge.device, "insight", keys.primary_key)
    client = kind.module("connection_string", insight.connection_string)
    assert client.get_twin()["desired"]["interval"] == 5
    manager.apply_configuration_on_edge_device(edge.device, of_modules("registry.example/insight:2", 6))
    assert client.get_twin()["desired"]["interval"] == 6


def test_content_that_is_none_is_refused(service, edge):
    manager = service.configurations
    with refused(404, "DeviceNotFound"):
        manager.apply_configuration_on_edge_device("nobody", of_modules("insight:1", 5))
    with refused(400, "InvalidConfigurationContent"):
        content = ConfigurationContent(device_content={"properties.desired.rate": 5})
        manager.apply_configuration_on_edge_device(edge.device, content)


def test_who_has_no_right_is_refused(stranger, name):
    manager = stranger.configurations
    for call in (
        manager.get_configurations,
        lambda: manager.get_configuration("a"),
        lambda: manager.create_configuration(of_devices(name, {"rate": 5})),
        lambda: manager.update_configuration(of_devices(name, {"rate": 5}), "*"),
        lambda: manager.delete_configuration("a"),
        lambda: manager.test_configuration_queries(ConfigurationQueriesTestInput(target_condition="*")),
        lambda: manager.apply_configuration_on_edge_device("a", of_modules("insight:1", 5)),
    ):
        with refused(401, "IotHubUnauthorizedAccess"):
            call()

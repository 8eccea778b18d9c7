"""Queries over twins: what is selected, what is counted, pages, and what is no query."""

import pytest
from azure.iot.hub.models import QuerySpecification, Twin, TwinProperties

from harness.service import refused


@pytest.fixture
def fleet(service, name):
    """Five devices at two sites, each with a module; their tag `fleet` has the name of the test."""
    names = [f"{name}-{number}" for number in range(5)]
    for number, each in enumerate(names):
        device = service.new_device(each)
        module = service.new_module(each, "insight")
        site = "north" if number < 3 else "south"
        properties = TwinProperties(desired={"interval": number})
        for identity in (device, module):
            twin = Twin(tags={"fleet": name, "site": site}, properties=properties)
            service.patch_twin(identity, twin)
    return names


def query(service, text, **options):
    """The answer to a query."""
    return service.registry.query_iot_hub(QuerySpecification(query=text), **options)


def test_devices_are_found_by_tags_and_properties(service, fleet, name):
    found = query(service, f"SELECT * FROM devices WHERE tags.fleet = '{name}' AND tags.site = 'north'")
    assert found.type == "Twin" and found.continuation_token is None
    assert sorted(twin.device_id for twin in found.items) == fleet[:3]
    assert all(isinstance(twin, Twin) and twin.module_id is None for twin in found.items)
    found = query(
        service,
        f"SELECT * FROM devices WHERE tags.fleet = '{name}' AND properties.desired.interval >= 3"
        f" AND deviceId IN ['{fleet[3]}', '{fleet[0]}']",
    )
    assert [twin.device_id for twin in found.items] == [fleet[3]]
    assert found.items[0].serialize() == service.registry.get_twin(fleet[3]).serialize()


def test_modules_are_found(service, fleet, name):
    found = query(service, f"SELECT * FROM devices.modules WHERE tags.fleet = '{name}' AND moduleId = 'insight'")
    assert [(twin.device_id, twin.module_id) for twin in found.items] == [(each, "insight") for each in fleet]


def test_what_is_selected_is_told(service, fleet, name):
    found = query(
        service,
        "SELECT deviceId, properties.desired.interval AS every FROM devices"
        f" WHERE tags.fleet = '{name}' AND tags.site = 'south'",
    )
    assert found.type == "Raw"
    told = [(twin.device_id, twin.additional_properties["every"]) for twin in found.items]
    assert sorted(told) == [(fleet[3], 3), (fleet[4], 4)]


def test_devices_are_counted(service, fleet, name):
    found = query(service, f"SELECT COUNT() AS number FROM devices WHERE tags.fleet = '{name}'")
    assert found.type == "Raw" and found.items[0].additional_properties == {"number": 5}
    found = query(
        service,
        "SELECT tags.site AS site, COUNT() AS number, AVG(properties.desired.interval) AS middle"
        f" FROM devices WHERE tags.fleet = '{name}' GROUP BY tags.site",
    )
    groups = {(row["site"], row["number"], row["middle"]) for row in (twin.additional_properties for twin in found.items)}
    assert groups == {("north", 3, 1), ("south", 2, 3.5)}


def test_a_query_comes_in_pages(service, fleet, name):
    text = f"SELECT * FROM devices WHERE tags.fleet = '{name}'"
    pages, token = [], None
    while True:
        page = query(service, text, continuation_token=token, max_item_count="2")
        assert len(page.items) <= 2
        pages.append([twin.device_id for twin in page.items])
        token = page.continuation_token
        if token is None:
            break
    assert sorted(sum(pages, [])) == fleet and len(pages) >= 3


def test_nothing_is_found_where_nothing_is(service):
    found = query(service, "SELECT * FROM devices WHERE tags.fleet = 'none'")
    assert found.items == []


@pytest.mark.parametrize(
    "text",
    ["", "SELECT", "SELECT * FROM nowhere", "SELECT * FROM devices WHERE tags.a = ", "DELETE * FROM devices"],
    ids=["empty", "unfinished", "elsewhere", "no value", "another verb"],
)
def test_what_is_no_query_is_refused(service, text):
    with refused(400, "ArgumentInvalid"):
        query(service, text)


def test_a_token_that_the_hub_did_not_give_is_refused(service, fleet, name):
    with refused(400, "ArgumentInvalid"):
        query(service, f"SELECT * FROM devices WHERE tags.fleet = '{name}'", continuation_token="bm9uc2Vuc2U=")


def test_who_has_no_right_to_read_is_refused(stranger):
    with refused(401, "IotHubUnauthorizedAccess"):
        query(stranger, "SELECT * FROM devices")

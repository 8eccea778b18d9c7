"""Clients with certificates: known by their thumbprint, or issued by an authority that the hub trusts."""

import hashlib
import json
import ssl
import subprocess
from pathlib import Path

import pytest
from azure.iot.device import X509, exceptions

from harness.hub import HOST_NAME, Identity, binary


class Certificate:
    """A certificate with its key, issued by the local authority of a hub's data folder."""

    def __init__(self, folder, name, data):
        command = [binary(), "hub", "ca", "issue", name, "--dir", str(folder), "--data-dir", str(data)]
        done = subprocess.run(
            [*command, "--output", "json"], check=True, capture_output=True, env={"HOME": str(folder)}
        )
        self.told = json.loads(done.stdout)
        self.files = (Path(self.told["certificateFile"]), Path(self.told["keyFile"]))

    @property
    def x509(self):
        """As it is given to a client."""
        return X509(str(self.files[0]), str(self.files[1]))

    def thumbprint(self, algorithm="sha1"):
        """Of the certificate itself, the first in its file."""
        text = self.files[0].read_text()
        first = text[: text.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
        return hashlib.new(algorithm, ssl.PEM_cert_to_DER_cert(first)).hexdigest().upper()


@pytest.fixture
def strange(tmp_path, name):
    """A certificate in the test's name by an authority that the hub knows nothing of."""
    return Certificate(tmp_path, name, tmp_path / "another-hub")


@pytest.fixture
def trusted(tmp_path, name, hub):
    """A certificate in the test's name by the hub's own authority."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    return Certificate(folder, name, hub.data)


def prove(client, identity, service):
    """What the client sends arrives under its identity."""
    client.send_message("hello")
    (told,) = service.telemetry(identity)
    assert (told["device"], told.get("module")) == (identity.device, identity.module)
    assert client.get_twin()["desired"]["$version"] == 1


def refuse(client):
    """The client is told that its credentials are not good."""
    with pytest.raises(exceptions.CredentialError):
        client.connect()


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websocket"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_device_connects_with_the_certificate_of_its_thumbprint(kind, service, name, strange, websockets, algorithm):
    service.registry.create_device_with_x509(name, "0" * 40, strange.thumbprint(algorithm), "enabled")
    client = kind.device("x509_certificate", strange.x509, HOST_NAME, name, websockets=websockets)
    prove(client, Identity(name, None, None), service)
    assert service.registry.get_twin(name).authentication_type == "selfSigned"


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websocket"])
def test_a_module_connects_with_the_certificate_of_its_thumbprint(kind, service, device, strange, websockets):
    prints = (strange.thumbprint(), strange.thumbprint())
    service.registry.create_module_with_x509(device.device, "insight", "", *prints)
    client = kind.module("x509_certificate", strange.x509, HOST_NAME, device.device, "insight", websockets=websockets)
    prove(client, Identity(device.device, "insight", None), service)


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websocket"])
def test_a_device_connects_with_a_certificate_of_the_hubs_authority(kind, service, name, trusted, websockets):
    service.registry.create_device_with_certificate_authority(name, "enabled")
    client = kind.device("x509_certificate", trusted.x509, HOST_NAME, name, websockets=websockets)
    prove(client, Identity(name, None, None), service)


def test_a_certificate_of_another_authority_is_refused(kind, service, name, strange):
    service.registry.create_device_with_certificate_authority(name, "enabled")
    refuse(kind.device("x509_certificate", strange.x509, HOST_NAME, name))


def test_a_certificate_of_another_device_is_refused(kind, service, name, trusted):
    other = f"{name}-other"
    service.registry.create_device_with_certificate_authority(other, "enabled")
    refuse(kind.device("x509_certificate", trusted.x509, HOST_NAME, other))


def test_a_certificate_with_another_thumbprint_is_refused(kind, service, name, strange):
    service.registry.create_device_with_x509(name, "0" * 40, "1" * 40, "enabled")
    refuse(kind.device("x509_certificate", strange.x509, HOST_NAME, name))


def test_a_certificate_does_not_open_for_a_device_with_a_key(kind, device, strange):
    refuse(kind.device("x509_certificate", strange.x509, HOST_NAME, device.device))


def test_a_thumbprint_that_is_taken_away_opens_no_more(kind, service, name, strange):
    registry = service.registry
    registry.create_device_with_x509(name, strange.thumbprint(), "0" * 40, "enabled")
    client = kind.device("x509_certificate", strange.x509, HOST_NAME, name)
    client.connect()
    client.shutdown()
    registry.update_device_with_x509(name, None, "1" * 40, "0" * 40, "enabled")
    refuse(kind.device("x509_certificate", strange.x509, HOST_NAME, name))

"""What the hub does not offer: it answers so, with a status and a body, and goes on."""

import pytest
from azure.iot.device import exceptions
from azure.iot.hub.models import JobProperties, JobRequest

from harness.service import refused


def test_jobs_are_not_offered(service):
    jobs = service.jobs
    for call in (
        lambda: jobs.create_import_export_job(JobProperties()),
        jobs.get_import_export_jobs,
        lambda: jobs.get_import_export_job("a"),
        lambda: jobs.cancel_import_export_job("a"),
        lambda: jobs.create_scheduled_job("a", JobRequest(job_id="a", type="scheduleUpdateTwin")),
        lambda: jobs.get_scheduled_job("a"),
        lambda: jobs.cancel_scheduled_job("a"),
        lambda: jobs.query_scheduled_jobs("scheduleUpdateTwin", "completed"),
    ):
        with refused(501, "NotImplemented"):
            call()


def test_digital_twins_are_not_offered(service, device):
    twins = service.digital_twins
    patch = [{"op": "add", "path": "/interval", "value": 5}]
    for call in (
        lambda: twins.get_digital_twin(device.device),
        lambda: twins.update_digital_twin(device.device, patch),
        lambda: twins.invoke_command(device.device, "reboot", {}),
        lambda: twins.invoke_component_command(device.device, "thermostat", "reboot", {}),
    ):
        with refused(501, "NotImplemented"):
            call()


def test_feedback_of_messages_to_devices_is_not_offered(service):
    feedback = service.feedback
    for call in (
        feedback.receive_feedback_notification,
        lambda: feedback.complete_feedback_notification("a"),
        lambda: feedback.abandon_feedback_notification("a"),
    ):
        with refused(501, "NotImplemented"):
            call()


def test_the_upload_of_files_is_not_offered(kind, device, service):
    client = kind.device("connection_string", device.connection_string)
    for call in (
        lambda: client.get_storage_info_for_blob("a.txt"),
        lambda: client.notify_blob_upload_status("a", True, 200, "done"),
    ):
        with pytest.raises(exceptions.ClientError) as caught:
            call()
        assert "501" in str(caught.value.__cause__)
    client.send_message("still there")
    service.telemetry(device)

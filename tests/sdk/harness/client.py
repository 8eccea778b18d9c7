"""One way to use the synchronous and the asynchronous clients of the device SDK, so that one test holds for both."""

import asyncio
import inspect
import threading

import azure.iot.device as sync
from azure.iot.device import aio
from azure.iot.device.common import transport_exceptions
from azure.iot.device.common.pipeline.pipeline_exceptions import PipelineNotRunning

from harness.waiting import LIMIT_SECONDS, until

# What clients raise that were shut down.
SHUT_DOWN = (sync.exceptions.ClientError, PipelineNotRunning)

# What clients raise that are not connected and may not connect by themselves.
NOT_CONNECTED = (sync.exceptions.NoConnectionError, transport_exceptions.NoConnectionError)

KINDS = {"sync": sync, "aio": aio}


class Loop:
    """An event loop in a thread, for the asynchronous clients."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine):
        """Runs it to its end and answers what it answers."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LIMIT_SECONDS)

    def close(self):
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Client:
    """A client of the SDK whose methods all wait for what they do; its properties are the SDK's."""

    def __init__(self, sdk, loop):
        object.__setattr__(self, "_sdk", sdk)
        object.__setattr__(self, "_loop", loop)
        object.__setattr__(self, "under_way", [])

    def __getattr__(self, name):
        found = getattr(self._sdk, name)
        if isinstance(inspect.getattr_static(type(self._sdk), name), property):
            return found

        def call(*args, **kwargs):
            self.under_way.append(name)
            try:
                answer = found(*args, **kwargs)
                return self._loop.run(answer) if inspect.iscoroutine(answer) else answer
            finally:
                self.under_way.remove(name)

        return call

    def __setattr__(self, name, value):
        setattr(self._sdk, name, value)

    def receive(self, name, *args, seconds):
        """Calls one of the `receive_` methods; `None` when nothing comes within the time."""
        if isinstance(self._sdk, (aio.IoTHubDeviceClient, aio.IoTHubModuleClient)):
            return self._loop.run(self._receive(getattr(self._sdk, name)(*args), seconds))
        return getattr(self._sdk, name)(*args, timeout=seconds)

    @staticmethod
    async def _receive(coming, seconds):
        try:
            return await asyncio.wait_for(coming, seconds)
        except asyncio.TimeoutError:
            return None


class Kind:
    """The clients of one of the two kinds, made with what the hub at hand needs; all are shut down in the end."""

    def __init__(self, name, hub, loop):
        self._sdk = KINDS[name]
        self._hub = hub
        self._loop = loop
        self._made = []

    def device(self, way, *args, **kwargs):
        """A device client, by the class method `create_from_<way>`."""
        return self._make(self._sdk.IoTHubDeviceClient, way, args, kwargs)

    def module(self, way, *args, **kwargs):
        """A module client, by the class method `create_from_<way>`."""
        return self._make(self._sdk.IoTHubModuleClient, way, args, kwargs)

    def _make(self, cls, way, args, kwargs):
        kwargs.setdefault("connection_retry_interval", 1)
        if way != "edge_environment":
            kwargs.setdefault("server_verification_cert", self._hub.ca)
        client = Client(getattr(cls, f"create_from_{way}")(*args, **kwargs), self._loop)
        self._made.append(client)
        return client

    def close(self):
        """Shuts down what was made."""
        for client in self._made:
            # A handler may still wait for the acknowledgement of its answer; the SDK waits for it for ever, once it has
            # disconnected.
            until(f"{client.under_way} to end", lambda: not client.under_way)
            try:
                client.shutdown()
            except SHUT_DOWN:
                # By the test.
                pass

"""The packets that a client of the device SDK puts on the wire, as the MQTT library under it tells them."""

import logging
import re
import threading

# The SDK gives its MQTT library this logger, which writes a line as each packet is queued or has come.
PACKET = re.compile(r"(?:Sending|Received) ([A-Z]+)")


class Wire(logging.Handler):
    """Collects packets in both directions while it is open."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self._lock = threading.Lock()
        self._lines = []
        self._logger = logging.getLogger("paho")
        self._level = self._logger.level

    def emit(self, record):
        line = record.getMessage()
        if PACKET.match(line):
            with self._lock:
                self._lines.append(line)

    def __enter__(self):
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_):
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def lines(self, kind):
        """The lines about packets of this kind, such as `SUBSCRIBE`."""
        with self._lock:
            return [line for line in self._lines if PACKET.match(line).group(1) == kind]

    def forget(self):
        """Begins anew."""
        with self._lock:
            self._lines.clear()

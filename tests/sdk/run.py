"""Runs the tests of the Azure SDKs in the network namespace that it is started in.

The SDKs' ports, 8883 and 443, are fixed; a namespace of one's own has them free and lets anybody take them:

    unshare --user --map-root-user --net target/sdk-venv/bin/python tests/sdk/run.py -k twin

Arguments are pytest's. The coverage is only looked at when all tests run.
"""

import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

# From linux/sockios.h and linux/if.h.
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def raise_loopback():
    """Brings up the loopback interface, which is down in a new namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(anybody, SIOCGIFFLAGS, request))[1]
        if not flags & IFF_UP:
            fcntl.ioctl(anybody, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


def main(args):
    raise_loopback()
    # Proxies lead out of the namespace, and roots of the machine's own know nothing of the hub's.
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(HERE))
    options = ["--rootdir", str(HERE), "-c", str(HERE / "pytest.ini"), "-p", "no:cacheprovider"]
    return pytest.main([*options, *args, *([] if any(".py" in a for a in args) else [str(HERE)])])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""SAS tokens and keys that no SDK makes: chosen ends, chosen resources."""

import base64
import hashlib
import hmac
import secrets
import time
from urllib.parse import quote


def new_key():
    """A random key as identities have them."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def token(resource, key, seconds=3600):
    """A token for a resource such as `localhost/devices/d1` that ends in so many seconds, or ended so long ago."""
    encoded = quote(resource, safe="")
    end = int(time.time()) + seconds
    digest = hmac.new(base64.b64decode(key), f"{encoded}\n{end}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={encoded}&sig={signature}&se={end}"

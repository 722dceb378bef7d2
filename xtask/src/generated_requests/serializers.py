"""How bodies are written whose media type Schemathesis does not know."""

import json

import schemathesis


@schemathesis.serializer("application/jsonl")
def lines_of_json(_context, value):
    """What was generated goes out as it is where it is text, and otherwise as one line of JSON."""
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")

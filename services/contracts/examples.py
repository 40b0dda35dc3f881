"""The canonical example payloads of protos/examples: fixtures of tests, documentation and demos."""

from pathlib import Path

from google.protobuf import json_format

from services.contracts.families import FAMILY_BY_NAME, FamilyEvent

EXAMPLES_ROOT = Path(__file__).resolve().parents[2] / "protos" / "examples"


def example_path(family: str, arm: str) -> Path:
    """Return where the example of an event type lies: `<family>/<arm>.json`."""
    return EXAMPLES_ROOT / family / f"{arm}.json"


def load_example(family: str, arm: str) -> FamilyEvent:
    """Return the example event of a type as a client submits it, without what intakes set.

    Raises FileNotFoundError when the type has none, ParseError when it is no message.
    """
    event = FAMILY_BY_NAME[family].message_class()
    json_format.Parse(example_path(family, arm).read_text(encoding="utf-8"), event)
    return event

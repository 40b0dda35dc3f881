"""Three commands to try next, with real values, and a file to import (下一步)."""

from datetime import date
from pathlib import Path

from google.protobuf.json_format import MessageToJson

from services.importing.endpoints import ENDPOINTS_VARIABLE, RUN_FILE
from services.synthetic.acts import complaints
from services.synthetic.acts.complaints import Handling
from services.synthetic.days import after, moment
from services.synthetic.entities import Entity
from services.synthetic.records import Records

EXAMPLE_COMPLAINTS = 6
EXAMPLE_SOURCE = "synthetic-example"
"""Source system of the example: its records are none of the city's own."""


def write_example(file: Path, present: date, entity: Entity) -> None:
    """Write complaints about an entity, enough to raise an alert, as JSON lines.

    They lie in the three days that end with ``present``; the entity should have few others.
    """
    records = Records(moment(present, 23, 59))
    for index in range(EXAMPLE_COMPLAINTS):
        day = after(present, -(index % 3))
        complaints.complain(records, entity, day, "SERVICE_QUALITY", Handling.PENDING)
    lines = []
    for submission in records.in_order():
        envelope = submission.event.envelope
        envelope.matter_id = envelope.matter_id.replace(envelope.source_system, EXAMPLE_SOURCE)
        envelope.source_system = EXAMPLE_SOURCE
        lines.append(MessageToJson(submission.event, indent=None, ensure_ascii=False))
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def hints(entity_key: str, example: Path) -> str:
    """Return the text that tells what to try next; ``example`` lies in the run folder."""
    folder = example.parent
    # Found by itself only where `make run` puts it.
    told = "" if folder == RUN_FILE.parent else f"{ENDPOINTS_VARIABLE}={folder / RUN_FILE.name} "
    msctl = f"{told}.venv/bin/msctl"
    return "\n".join(
        (
            "",
            "Try next, in another terminal / 可在另一终端尝试:",
            f"  {msctl} profile get {entity_key} --full",
            "      the profile of an entity that has an alert / 查看有预警主体的统一画像",
            f"  {msctl} alerts watch",
            "      alerts as they come / 实时订阅预警",
            f"  {msctl} import {example} --family complaints --out {folder}",
            f"      {EXAMPLE_COMPLAINTS} complaints: an alert follows / 导入一批投诉，随即触发预警",
            "",
        )
    )

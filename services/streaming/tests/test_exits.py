"""What a worker's process ends with."""

import subprocess
import sys

import pytest

from services.streaming.exits import ExitCode

CRASH = """
from aiokafka import errors
from mode.worker import exiting
from services.streaming.exits import name_crash
try:
    with exiting():
        raise {error}
except SystemExit as end:
    name_crash(end)
    raise
"""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ('errors.KafkaConnectionError("nobody answers")', ExitCode.TOPICS_UNUSABLE),
        ("errors.NodeNotReadyError()", ExitCode.TOPICS_UNUSABLE),
        ("errors.TopicAuthorizationFailedError()", 1),
        ('RuntimeError("a defect")', 1),
        ("SystemExit(0)", 0),
    ],
)
def test_faust_that_ends_for_want_of_a_broker_has_a_code_of_ours(error: str, code: int) -> None:
    """The broker may go while a worker starts; a defect and a clean stop keep their codes."""
    command = [sys.executable, "-c", CRASH.format(error=error)]
    assert subprocess.run(command, check=False, timeout=60).returncode == code

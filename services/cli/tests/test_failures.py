"""What can go wrong with every command ends with a sentence and a code, never with a traceback."""

import pytest
import typer
from kafka.errors import KafkaTimeoutError

from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.streaming.meta import decode


def test_position_of_other_software_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A META record of a later release, or one that somebody wrote by hand."""
    with pytest.raises(typer.Exit) as ended, reported():
        decode(b'{"v":99,"unit":1,"stream_time_ms":0,"applied":{}}')
    assert ended.value.exit_code == ExitCode.FAILED
    assert "META version 99" in capsys.readouterr().err


def test_broker_that_is_away_is_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    """The class of the error stands there too: many of them say nothing themselves."""
    with pytest.raises(typer.Exit) as ended, reported():
        raise KafkaTimeoutError
    assert ended.value.exit_code == ExitCode.UNREACHABLE
    assert "KafkaTimeoutError" in capsys.readouterr().err

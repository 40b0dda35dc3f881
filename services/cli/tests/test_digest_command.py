"""A digest tells a view from another one also where the same entities stand elsewhere, or twice."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from market_supervision.lifecycle.v1 import state_pb2
from typer.testing import CliRunner, Result

from services.cli import digest_command
from services.cli.exit_codes import ExitCode
from services.cli.main import app
from services.cli.topic_reading import TopicRecord
from services.contracts import state_keys

Digest = Callable[..., Result]
STATE = state_pb2.EntityState(entity_key="uscc:A").SerializeToString()
A, B = (state_keys.entity_state(f"uscc:{name}") for name in "AB")


@pytest.fixture
def digest(monkeypatch: pytest.MonkeyPatch) -> Digest:
    """The command over state records given as (partition, key)."""

    def run(places: list[tuple[int, bytes]], *arguments: str) -> Result:
        def shown(_bootstrap_servers: str) -> Iterator[TopicRecord]:
            for number, (partition, key) in enumerate(places):
                yield TopicRecord(partition, number, 0, key, STATE, {})

        monkeypatch.setattr(digest_command, "_shown", shown)
        command = ["digest", "--json", "--endpoint", "kafka=nowhere:1", *arguments]
        return CliRunner().invoke(app, command)

    return run


@pytest.fixture
def earlier(digest: Digest, tmp_path: Path) -> Path:
    """What was told when A stood in partition 1 and B in partition 2."""
    file = tmp_path / "earlier.json"
    file.write_text(digest([(1, A), (2, B)]).stdout, encoding="utf-8")
    return file


def test_same_view_is_no_other_one(digest: Digest, earlier: Path) -> None:
    """Whatever the order in which its records came."""
    assert digest([(2, B), (1, A)], "--compare", str(earlier)).exit_code == ExitCode.OK


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(1, A), (3, B)], "partitions 2, 3"),
        ([(1, A), (2, B), (3, B)], "3 entities instead of 2"),
        ([(1, A)], "partitions 2; 1 entities instead of 2"),
    ],
    ids=["misplaced", "doubled", "lost"],
)
def test_entity_elsewhere_or_twice_is_another_view(
    digest: Digest, earlier: Path, places: list[tuple[int, bytes]], said: str
) -> None:
    """The total alone does not show it: it is over entities, wherever they stand."""
    ended = digest(places, "--compare", str(earlier))
    assert ended.exit_code == ExitCode.DIFFERS
    assert said in ended.stderr


def test_entity_in_several_partitions_is_told_without_anything_to_compare_with(
    digest: Digest,
) -> None:
    """Two workers would each hold half of it; no healthy state has one."""
    ended = digest([(1, A), (7, A), (2, B)])
    assert ended.exit_code == ExitCode.DIFFERS
    assert json.loads(ended.stdout)[digest_command.DOUBLED] == {"uscc:A": [1, 7]}
    assert "uscc:A in partitions [1, 7]" in ended.stderr
    whole = digest([(1, A), (2, B)])
    assert json.loads(whole.stdout)[digest_command.DOUBLED] == {}


@pytest.mark.parametrize("change", [{"entities": "2"}, {"records": None}, {"total": 1}])
def test_file_that_is_no_digest_is_refused(
    digest: Digest, earlier: Path, change: dict[str, Any]
) -> None:
    """Before the state is read."""
    earlier.write_text(json.dumps(json.loads(earlier.read_text("utf-8")) | change), "utf-8")
    assert digest([(1, A)], "--compare", str(earlier)).exit_code == ExitCode.USAGE

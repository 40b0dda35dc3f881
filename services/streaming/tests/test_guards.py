"""A changed library must fail at the start, not lose records quietly."""

import pytest

from services.streaming import guards
from services.streaming.exits import EngineError, ExitCode


def test_guards_with_the_pinned_libraries_find_nothing() -> None:
    """The installed libraries are those the engine was written against."""
    assert guards.problems() == []


def test_guards_with_another_version_name_it() -> None:
    """The message says what is installed and what was expected."""
    assert guards.problems({"aiokafka": "0.13.0"}, {}) == ["aiokafka is 0.14.0, not 0.13.0"]


def test_guards_with_a_changed_method_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replaced method whose original changed is found by its source."""

    class Changed:
        async def perform_seek(self) -> None:
            """Do something else."""

    monkeypatch.setattr("faust.transport.consumer.Consumer", Changed)
    name = "faust.transport.consumer:Consumer.perform_seek"
    found = guards.problems({}, {name: guards.SOURCES[name]})
    assert len(found) == 1
    assert found[0].startswith(name)


def test_guards_with_a_vanished_method_name_it() -> None:
    """A method that is gone is a difference, not a crash of the guard."""
    found = guards.problems({}, {"faust.transport.consumer:Consumer.no_such": "0"})
    assert found[0].startswith("faust.transport.consumer:Consumer.no_such cannot be read")


def test_guards_check_that_fails_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends with a code of its own."""
    monkeypatch.setattr(guards, "problems", lambda: ["mode-streaming is 9, not 0.7.1"])
    with pytest.raises(EngineError, match="mode-streaming is 9") as caught:
        guards.check()
    assert caught.value.code is ExitCode.GUARD

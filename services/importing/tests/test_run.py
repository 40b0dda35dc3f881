"""What keeps an import from beginning."""

import fcntl
from pathlib import Path

import pytest

from services.importing.endpoints import Endpoints
from services.importing.errors import FileUnreadableError
from services.importing.run import ImportRequest, import_file


def test_import_that_is_under_way_keeps_a_second_one_of_the_file_away(tmp_path: Path) -> None:
    """Two of them would cut back each other's rejects file."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"")
    request = ImportRequest(path, "complaints", None, tmp_path / "out")
    nowhere = Endpoints({}, "test")
    assert import_file(request, nowhere, lambda _: None).rows == 0
    with (tmp_path / "out" / ".a.jsonl.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FileUnreadableError, match="another process"):
            import_file(request, nowhere, lambda _: None)
    assert import_file(request, nowhere, lambda _: None).rows == 0

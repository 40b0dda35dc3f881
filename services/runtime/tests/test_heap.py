"""What is alive when a process is composed is never looked through again."""

import gc
import subprocess
import sys


def test_what_is_alive_is_left_out_of_later_collections() -> None:
    """In a process of its own: the tests' own heap is not to be frozen."""
    program = (
        "import gc; from services.runtime.heap import settle_heap; kept = [[] for _ in range(50)];"
        "settle_heap(); young = {id(o) for o in gc.get_objects()};"
        "assert not any(id(each) in young for each in kept); print(gc.get_freeze_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 1_000
    assert gc.get_freeze_count() == 0

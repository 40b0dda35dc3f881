"""The local store: one WriteBatch a unit, and reads that see what the unit staged."""

import asyncio
import random
import resource
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import pytest
from rocksdict import Options, Rdict

from services.streaming.exits import ExitCode
from services.streaming.local_database import (
    StoreDamagedError,
    StoreFailedError,
    StoreLockedError,
    StoreOptions,
)
from services.streaming.meta import META_KEY, Applied, Meta, encode
from services.streaming.store import PartitionStore, Position
from services.streaming.unit_store import UnitStore


@pytest.fixture
def options() -> StoreOptions:
    """Return options with small buffers."""
    return StoreOptions(1 << 20, 8 << 20)


@pytest.fixture
def store(tmp_path: Path, options: StoreOptions) -> Iterator[PartitionStore]:
    """Return an empty store."""
    opened = PartitionStore(tmp_path / "p", options, "a/0")
    yield opened
    opened.close()


def by_value(key: bytes, old: bytes | None, new: bytes) -> Iterable[tuple[bytes, bytes | None]]:
    """Index every record by its value, as due keys index matters by their due time."""
    if old is not None:
        yield b"due|" + old + b"|" + key, None
    yield b"due|" + new + b"|" + key, b""


def put(store: PartitionStore, *records: tuple[bytes, bytes], position: int = 1) -> None:
    """Write records with their index."""
    store.apply(store.prepare(records, by_value), Position(position, -1))


def test_store_reopened_has_records_position_and_meta(
    tmp_path: Path, options: StoreOptions
) -> None:
    """What a unit wrote is there after a restart, with the position it belongs to."""
    meta = Meta(3, 17, {"a": Applied(5, 17)})
    store = PartitionStore(tmp_path / "p", options, "a/0")
    store.apply(store.prepare([(b"k", b"1"), (META_KEY, encode(meta))], by_value), Position(9, 8))
    store.close()
    again = PartitionStore(tmp_path / "p", options, "a/0")
    assert again.get(b"k") == b"1"
    assert again.position == Position(9, 8)
    assert again.meta == meta
    again.close()


def test_store_prepared_but_not_applied_shows_nothing(store: PartitionStore) -> None:
    """Nothing is visible before the transaction is committed."""
    store.prepare([(b"k", b"1")], by_value)
    assert store.get(b"k") is None


def test_store_record_written_twice_leaves_one_index_entry(store: PartitionStore) -> None:
    """Local-only keys follow the record, within a batch and across batches."""
    put(store, (b"k", b"1"), (b"k", b"2"))
    put(store, (b"k", b"3"), (b"j", b"3"))
    assert [key for key, _ in store.scan(b"due|")] == [b"due|3|j", b"due|3|k"]


def test_store_restored_without_intermediate_versions_is_equal(
    store: PartitionStore, tmp_path: Path, options: StoreOptions
) -> None:
    """Compaction drops versions; a store restored from the rest equals the live one."""
    put(store, (b"k", b"1"), (b"j", b"1"))
    put(store, (b"k", b"2"))
    put(store, (b"k", b"5"), (b"j", b"4"))
    compacted = PartitionStore(tmp_path / "q", options, "a/0")
    put(compacted, (b"k", b"5"), (b"j", b"4"))
    assert list(compacted.scan(b"")) == list(store.scan(b""))
    compacted.close()


async def test_store_prepared_in_turns_is_equal_and_the_loop_goes_on(
    tmp_path: Path, options: StoreOptions
) -> None:
    """A recovery prepares a whole poll; whoever waits for the loop waits for a piece of it."""
    old = [(b"k%d" % n, b"old") for n in range(0, 4_500, 3)]
    new = [(b"k%d" % (n % 4_500), b"%d" % n) for n in range(9_000)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    found = []
    counting = asyncio.create_task(count())
    for name in ("at-once", "in-turns"):
        store = PartitionStore(tmp_path / name, options, "a/0")
        put(store, *old)
        before = turns
        at_once = name == "at-once"
        prepared = (
            store.prepare(new, by_value)
            if at_once
            else await store.prepare_in_turns(iter(new), by_value)
        )
        assert turns - before == (0 if at_once else 45)  # 4,500 keys
        store.apply(prepared, Position(2, -1))
        found.append(dict(store.scan(b"")))
        store.close()
    counting.cancel()
    assert found[0] == found[1]
    assert len(found[0]) == 2 * 4_500


def test_store_wiped_is_empty_and_at_the_beginning(store: PartitionStore) -> None:
    """A store that belongs to another changelog starts over."""
    put(store, (b"k", b"1"), position=7)
    store.wipe()
    assert list(store.scan(b"")) == []
    assert store.position == Position()
    assert store.meta == Meta()


def test_store_unreadable_is_made_anew(tmp_path: Path, options: StoreOptions) -> None:
    """The store is disposable: damage costs time, not the service."""
    store = PartitionStore(tmp_path / "p", options, "a/0")
    put(store, (b"k", b"1"))
    store.close()
    (tmp_path / "p" / "CURRENT").write_bytes(b"rubbish")
    again = PartitionStore(tmp_path / "p", options, "a/0")
    assert again.get(b"k") is None
    assert again.position == Position()
    again.close()


def test_store_of_another_changelog_is_made_anew(tmp_path: Path, options: StoreOptions) -> None:
    """A changelog deleted and made again must not be mixed with what its predecessor held."""
    store = PartitionStore(tmp_path / "p", options, "a/0")
    put(store, (b"k", b"1"), position=7)
    store.close()
    for owner in ("b/0", "b/1"):
        again = PartitionStore(tmp_path / "p", options, owner)
        assert again.get(b"k") is None
        assert again.position == Position()
        put(again, (b"k", b"2"), position=7)
        again.wipe()
        put(again, (b"k", b"2"), position=7)
        again.close()
    kept = PartitionStore(tmp_path / "p", options, "b/1")
    assert kept.get(b"k") == b"2"
    kept.close()


def _damage(folder: Path) -> None:
    """Change bytes in the middle of every table of a closed store."""
    for table in folder.glob("*.sst"):
        content = bytearray(table.read_bytes())
        for place in range(100, len(content) // 2, 200):
            content[place] ^= 0xFF
        table.write_bytes(content)


@pytest.mark.parametrize("by_scan", [False, True])
def test_store_found_damaged_while_read_is_made_anew_at_the_next_start(
    tmp_path: Path, options: StoreOptions, *, by_scan: bool
) -> None:
    """Damage that shows only when a block is read costs one start, not every one."""
    path = tmp_path / "block-and-lock" / "p"
    store = PartitionStore(path, options, "a/0")
    rng = random.Random(1)
    put(store, *((b"k%04d" % n, rng.randbytes(100)) for n in range(2_000)))
    store.close()
    _damage(path)

    def use() -> None:
        opened = PartitionStore(path, options, "a/0")
        if by_scan:
            list(opened.scan(b""))
        else:
            for n in range(2_000):
                opened.get(b"k%04d" % n)

    with pytest.raises(StoreDamagedError):
        use()
    again = PartitionStore(path, options, "a/0")
    assert again.position == Position()
    assert list(again.scan(b"")) == []
    again.close()
    assert [found.name for found in path.parent.iterdir()] == ["p"]


def test_disk_that_fails_is_told_from_a_wrong_argument(
    tmp_path: Path, options: StoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk has an exit code of its own; a key that is no bytes is the step's defect."""
    store = PartitionStore(tmp_path / "p", options, "a/0")
    with pytest.raises(KeyError):
        store.get(cast("bytes", {}))

    class Full:
        def write(self, _: object) -> None:
            raise Exception("IO error: No space left on device")  # noqa: TRY002  as rocksdict does

    prepared = store.prepare([(b"k", b"v")], lambda *_: ())
    with monkeypatch.context() as patch:
        patch.setattr(store._database, "_db", Full())
        with pytest.raises(StoreFailedError) as failure:
            store.apply(prepared, Position(1, 0))
    assert failure.value.code == ExitCode.LOCAL_DISK_FAILED
    assert store.position == Position()
    store.close()


def test_store_that_cannot_be_opened_on_a_full_disk_is_kept(
    tmp_path: Path, options: StoreOptions
) -> None:
    """Its files are whole: thrown away, they would be hours of recovery, on the same full disk."""
    path = tmp_path / "p"
    store = PartitionStore(path, options, "a/0")
    store.apply(store.prepare([(b"k", b"v")], lambda *_: ()), Position(1, 0))
    store.close()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    asked = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, unlimited[1]))
        with pytest.raises(StoreFailedError, match="cannot be opened"):
            PartitionStore(path, options, "a/0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        signal.signal(signal.SIGXFSZ, asked)
    store = PartitionStore(path, options, "a/0")
    assert (store.get(b"k"), store.position) == (b"v", Position(1, 0))
    store.close()


@pytest.mark.parametrize(
    ("message", "locked"),
    [
        ("IO error: While lock file: /d/LOCK: Resource temporarily unavailable", True),
        ("IO error: lock hold by current process, acquire time 1: /d/LOCK: No locks", True),
        ("Corruption: block checksum mismatch in /d/000009.sst", False),
    ],
)
def test_store_tells_a_lock_from_damage(
    tmp_path: Path,
    options: StoreOptions,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    *,
    locked: bool,
) -> None:
    """A store of another process is left alone; a damaged one, even of a block, is made anew."""
    (tmp_path / "p").mkdir()
    kept = tmp_path / "p" / "kept"
    kept.touch()
    refusals = [message]

    def refuse_once(path: str, options: Options) -> Rdict:
        if refusals:
            raise Exception(refusals.pop())  # noqa: TRY002  what the binding raises
        return Rdict(path, options=options)

    monkeypatch.setattr("services.streaming.local_database.Rdict", refuse_once)
    if locked:
        with pytest.raises(StoreLockedError):
            PartitionStore(tmp_path / "p", options, "a/0")
    else:
        PartitionStore(tmp_path / "p", options, "a/0").close()
    assert kept.exists() == locked


def test_store_open_elsewhere_is_refused(store: PartitionStore, options: StoreOptions) -> None:
    """Two workers must not share a directory."""
    with pytest.raises(StoreLockedError):
        PartitionStore(store.path, options, "a/0")
    put(store, (b"k", b"1"))
    assert store.get(b"k") == b"1"


def test_unit_store_staged_write_is_seen_with_its_index(store: PartitionStore) -> None:
    """A tick later in a unit finds the due dates that the unit itself changed."""
    put(store, (b"k", b"1"), (b"j", b"2"))
    unit = UnitStore(store, by_value)
    unit.stage(b"k", b"7")
    assert unit.get(b"k") == b"7"
    assert unit.get(b"j") == b"2"
    assert [key for key, _ in unit.scan(b"due|")] == [b"due|2|j", b"due|7|k"]
    assert store.get(b"k") == b"1"
    assert dict(unit.staged) == {b"k": b"7"}


def test_unit_store_scan_being_read_ignores_later_staging(store: PartitionStore) -> None:
    """A step may change what it iterates over."""
    put(store, *((b"k%d" % n, b"%d" % n) for n in range(5)))
    unit = UnitStore(store, by_value)
    seen = []
    for key, _ in unit.scan(b"due|"):
        seen.append(key)
        unit.stage(key.split(b"|")[2], b"9")
    assert len(seen) == 5


@pytest.mark.parametrize("reverse", [False, True])
def test_unit_store_scan_equals_a_sorted_dict(store: PartitionStore, *, reverse: bool) -> None:
    """Prefix, start, limit and direction mean what they mean on a sorted dict."""
    rng = random.Random(7)

    def no_index(key: bytes, old: bytes | None, new: bytes) -> Iterable[tuple[bytes, bytes | None]]:
        return [(b"gone" + key + new, None)] if old is not None else []

    model: dict[bytes, bytes] = {}
    for n in range(150):
        key = bytes(rng.choices(b"ab\xfe\xff", k=rng.randrange(1, 5)))
        model[key] = b"%d" % n
    store.apply(store.prepare(list(model.items()), no_index), Position(1, -1))
    unit = UnitStore(store, no_index)
    for n in range(60):
        key = bytes(rng.choices(b"ab\xfe\xff", k=rng.randrange(1, 5)))
        unit.stage(key, b"s%d" % n)
        model[key] = b"s%d" % n
    for _ in range(400):
        prefix = bytes(rng.choices(b"ab\xfe\xff", k=rng.randrange(3)))
        start = bytes(rng.choices(b"ab\xfe\xff", k=rng.randrange(1, 5)))
        chosen = rng.choice([None, start, prefix + start])
        limit = rng.choice([0, 1, 3, 1000])
        expected = sorted(
            (
                (k, v)
                for k, v in model.items()
                if k.startswith(prefix)
                and (chosen is None or (k <= chosen if reverse else k >= chosen))
            ),
            reverse=reverse,
        )[:limit]
        found = list(unit.scan(prefix, start=chosen, limit=limit, reverse=reverse))
        assert found == expected, (prefix, chosen, limit, reverse)

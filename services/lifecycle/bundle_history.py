"""Which bundle of rules judges a record: the one in force at the record's own append time. Pure."""

from market_supervision.control.v1.control_pb2 import RuleBundle
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.bundles import BUNDLE_BYTES_MAX
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.errors import BundleError, Problem
from services.lifecycle.working_set import WorkingSet

HISTORY_KEY = b"!bundles"


def bundle_key(version: int) -> bytes:
    """Key of the record that holds a bundle's bytes."""
    return f"!bundle|{version}".encode()


class BundleHistory:
    """The bundles a partition has met, compiled on first use."""

    def __init__(self) -> None:
        self._compiled: dict[int, CompiledBundle] = {}

    def add(self, working: WorkingSet, bundle: RuleBundle) -> None:
        """Remember a bundle that was read; a version that is known already changes nothing.

        Raises:
            BundleError: the bundle cannot be used; what was in force stays in force.
        """
        known = working.read(HISTORY_KEY, state_pb2.BundleHistory)
        if known and any(reference.version == bundle.version for reference in known.bundles):
            return
        effective_time_ms = _guarded(bundle)
        self._compiled[bundle.version] = CompiledBundle.from_bundle(bundle)
        history = working.change(HISTORY_KEY, state_pb2.BundleHistory)
        key = bundle_key(bundle.version)
        history.bundles.add(
            version=bundle.version,
            effective_time_ms=effective_time_ms,
            record_key=key.decode(),
        )
        history.bundles.sort(key=lambda reference: reference.version)
        working.put(key, bundle)

    def in_force(self, working: WorkingSet, append_time_ms: int) -> CompiledBundle:
        """The bundle in force at an append time: the newest that holds, else the first of all."""
        history = working.read(HISTORY_KEY, state_pb2.BundleHistory)
        assert history is not None
        chosen = history.bundles[0]
        for reference in history.bundles:
            if reference.effective_time_ms <= append_time_ms:
                chosen = reference
        if chosen.version not in self._compiled:
            bundle = working.read(chosen.record_key.encode(), RuleBundle)
            assert bundle is not None
            self._compiled[chosen.version] = CompiledBundle.from_bundle(bundle)
        return self._compiled[chosen.version]


def _guarded(bundle: RuleBundle) -> int:
    """The moment from which a bundle holds; BundleError when its record cannot be kept."""
    size = bundle.ByteSize()
    if size > BUNDLE_BYTES_MAX:
        en = f"{size} bytes, at most {BUNDLE_BYTES_MAX} fit"
        raise BundleError([Problem("bundle", "", en, f"共{size}字节,上限{BUNDLE_BYTES_MAX}字节")])
    try:
        return bundle.effective_time.ToMilliseconds()
    except ValueError as error:
        en, zh = f"not a moment: {error}", "不是有效时间"
        raise BundleError([Problem("bundle", "effective_time", en, zh)]) from error

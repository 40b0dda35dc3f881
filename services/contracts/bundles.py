"""Rule bundles as files: from the configuration folder to one versioned message (规则包).

A bundle is self-contained: the bytes of every rule and calendar, sorted by path. What the bytes
mean is judged by those who compile it.
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from market_supervision.control.v1.control_pb2 import BundleFile, RuleBundle

from services.contracts.data_files import CONFIG_ROOT, DataFileError

FOLDERS = ("calendars", "rules")
"""Folders of the configuration that travel in a bundle."""
COMPRESSED_BYTES_MAX = 900 * 1024
"""Largest bundle once compressed: a record of 1 MiB with room for its batch."""

BUNDLE_BYTES_MAX = 1_500_000
"""Largest bundle as it is: the state keeps it uncompressed, in one record."""


class BundleTooLargeError(Exception):
    """A bundle does not fit a record of the control topic."""


def read_files(config_root: Path = CONFIG_ROOT) -> list[BundleFile]:
    """Return every file of a bundle, sorted by path; DataFileError when one cannot be read."""
    files = []
    for folder in FOLDERS:
        for path in sorted((config_root / folder).glob("*.yaml")):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataFileError(path, "", error.strerror or str(error)) from error
            files.append(BundleFile(path=path.relative_to(config_root).as_posix(), content=content))
    if not files:
        raise DataFileError(config_root, "", f"no .yaml file in {' or '.join(FOLDERS)}")
    return files


def overridden(files: Iterable[BundleFile], fields: Mapping[str, Any]) -> list[BundleFile]:
    """Return the files with ``fields`` set in every rule, for time-lapses and trials.

    ``overridden(files, {"max_age_days": 36500})`` makes rules look at all of the past.
    """
    return [_with_fields(file, fields) for file in files]


def _with_fields(file: BundleFile, fields: Mapping[str, Any]) -> BundleFile:
    if not file.path.startswith("rules/"):
        return file
    row = yaml.safe_load(file.content)
    if not isinstance(row, dict):
        raise DataFileError(Path(file.path), "", "a rule is a mapping")
    text = yaml.safe_dump(row | dict(fields), allow_unicode=True, sort_keys=False)
    return BundleFile(path=file.path, content=text.encode())


def content_hash(files: Iterable[BundleFile]) -> str:
    """Return the SHA-256, lower-case hex, over the files in the order of their paths."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        for part in (file.path.encode(), file.content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def build_bundle(files: Iterable[BundleFile], version: int, effective_time: datetime) -> RuleBundle:
    """Return a bundle; equal files give an equal content hash, whatever their order.

    ``effective_time`` has a zone. BundleTooLargeError when it exceeds BUNDLE_BYTES_MAX, or
    COMPRESSED_BYTES_MAX once compressed.
    """
    ordered = sorted(files, key=lambda file: file.path)
    bundle = RuleBundle(version=version, content_hash=content_hash(ordered), files=ordered)
    bundle.effective_time.FromDatetime(effective_time)
    content = bundle.SerializeToString(deterministic=True)
    if len(content) > BUNDLE_BYTES_MAX:
        message = f"the bundle has {len(content)} bytes, at most {BUNDLE_BYTES_MAX} fit"
        raise BundleTooLargeError(f"{message} (规则包过大)")
    size = len(zlib.compress(content))
    if size > COMPRESSED_BYTES_MAX:
        message = f"the bundle has {size} bytes compressed, at most {COMPRESSED_BYTES_MAX} fit"
        raise BundleTooLargeError(f"{message} (规则包过大)")
    return bundle


def is_intact(bundle: RuleBundle) -> bool:
    """Return whether the content of a bundle is what its hash says."""
    return bundle.content_hash == content_hash(bundle.files)

"""The broker's class path: exactly the jars pinned in kafka_jars.txt, fetched once.

    python -m services.local.jars            fetch and check; print the class path
    python -m services.local.jars --update   resolve anew and rewrite kafka_jars.txt

Every pinned jar is named by coordinate and SHA-256. Resolving happens only for `--update`, each
coordinate in a call of its own: asked for the broker and the log binding together, the resolver
settles on an older kafka-clients and the broker does not start.
"""

import argparse
import fcntl
import hashlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jgo
from jgo.maven import MavenContext

from services.local.errors import DownloadError

KAFKA_VERSION = "4.3.1"
BROKER = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
ALONE = (
    # Without an slf4j binding the broker keeps no log at all.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    # Console consumer and producer; what they need beyond the broker's own jars they do not use.
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
)
"""Coordinates of which only their own jar is wanted."""

PIN_FILE = Path(__file__).with_name("kafka_jars.txt")
PIN_HEADER = "# group:artifact:version sha256, written by: python -m services.local.jars --update\n"
DOWNLOADS_AT_ONCE = 4
TIMEOUT_SECONDS = 60
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PinnedJar:
    """One jar of the class path: its Maven coordinate and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"


def pinned_jars(pin_file: Path = PIN_FILE) -> list[PinnedJar]:
    """Read the pin file; a malformed line raises DownloadError naming it."""
    jars = []
    for number, line in enumerate(pin_file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
        except ValueError as error:
            message = f"{pin_file.name}:{number}: expected `group:artifact:version sha256`"
            raise DownloadError(message) from error
        jars.append(PinnedJar(group, artifact, version, sha256))
    return jars


def class_path(pins: Sequence[PinnedJar] | None = None) -> list[Path]:
    """Return the local files of pinned jars (the broker's), downloading what is missing.

    They are kept in the machine's Maven repository (`M2_REPO`, else `~/.m2/repository`). Raises
    DownloadError when one cannot be had or has other bytes than the pinned ones.
    """
    context = MavenContext(timeout=TIMEOUT_SECONDS)
    wanted = pinned_jars() if pins is None else pins
    with _only_one(context.repo_cache), ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        return list(pool.map(lambda jar: _fetch(context, jar), wanted))


def _fetch(context: MavenContext, jar: PinnedJar) -> Path:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        path = artifact.resolve()
        if _sha256(path) != jar.sha256:
            # A download cut short leaves a partial file under the final name: fetch once more.
            path.unlink()
            path = artifact.resolve()
    except (OSError, RuntimeError) as error:
        message = f"cannot download {jar.coordinate}: {error}"
        raise DownloadError(message) from error
    if (found := _sha256(path)) != jar.sha256:
        message = f"{jar.coordinate} has SHA-256 {found}, pinned is {jar.sha256}: {path}"
        raise DownloadError(message)
    return path


@contextmanager
def _only_one(repository: Path) -> Iterator[None]:
    # Two runs that download at the same time would read each other's half-written files.
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / ".market-supervision.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def resolve_pins() -> list[PinnedJar]:
    """Resolve the broker and what stands beside it, download all and return the new pins."""
    artifacts = jgo.resolve(BROKER) + [jgo.resolve(coordinate)[0] for coordinate in ALONE]
    pins = [
        PinnedJar(item.groupId, item.artifactId, item.version, _sha256(item.resolve()))
        for item in artifacts
        if item.packaging == "jar"
    ]
    return sorted(set(pins), key=lambda jar: jar.coordinate)


def main() -> int:
    """Fetch the pinned jars, or with --update resolve and pin anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="resolve and rewrite the pins")
    if parser.parse_args().update:
        lines = [f"{jar.coordinate} {jar.sha256}\n" for jar in resolve_pins()]
        PIN_FILE.write_text(PIN_HEADER + "".join(lines), encoding="utf-8")
    try:
        paths = class_path()
    except DownloadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(":".join(str(path) for path in paths) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

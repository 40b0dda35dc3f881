"""On what a row was measured: the machine, the versions, the commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from integration_tests.performance.kept import UNCOMMITTED
from services.local.jars import KAFKA_VERSION

PACKAGES = ("aiokafka", "faust-streaming", "grpcio", "kafka-python", "protobuf", "redis")
PAGES = (":!docs", ":!*.md")
MEASURED = ("services", "protos", ":!services/*/tests/*", ":!*.md")
CPU_INFO = Path("/proc/cpuinfo")


def provenance() -> dict[str, Any]:
    """Say on what and by which code a row was measured: every row keeps its own."""
    return {"commit": commit(), "machine": machine(), "versions": versions()}


def machine() -> dict[str, str | int | float]:
    """Describe the machine."""
    models = [
        line.partition(":")[2].strip()
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Name what was measured."""
    named = {"python": platform.python_version(), "kafka": KAFKA_VERSION}
    return named | {package: version(package) for package in (*PACKAGES, "rocksdict")}


def commit() -> str:
    """Return the last commit that changed more than pages; a plus sign for what is not committed.

    So figures stay those of the present code when they are themselves committed.
    """
    head = _git("log", "-1", "--format=%h", "--", ".", *PAGES)
    changed = _git("status", "--porcelain", "--", ".", *PAGES)
    return f"{head}{UNCOMMITTED}" if changed else head


def has_changed_since(commit_then: str) -> bool:
    """Whether what is measured has other code now than at a commit; so too where nobody knows."""
    if commit_then.endswith(UNCOMMITTED):
        return True
    return _run("diff", "--quiet", commit_then, "--", *MEASURED).returncode != 0


def _git(*arguments: str) -> str:
    answer = _run(*arguments)
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],  # noqa: S607  the git on the path is the one that made the tree
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

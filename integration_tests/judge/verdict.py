"""The verdict: what each check found, what was counted, what was not looked at."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

SHOWN_FINDINGS = 40
SHOWN_CHARACTERS = 600
NOT_MADE = "not made"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    check: str
    """Name of the check, such as `O1`."""
    text: str
    details: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = "; ".join(f"{name}={value}" for name, value in self.details.items())
        line = f"{self.check}: {self.text}" + (f" [{shown}]" if shown else "")
        return line[:SHOWN_CHARACTERS]


@dataclass(slots=True)
class Verdict:
    """What a run came to."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """`events`, `acknowledged`, `unknown`, `refused`, `lost`, `doubled`, `alerts` and more."""
    digests: dict[int, str] = field(default_factory=dict)
    """Partition → SHA-256, hex, of the committed live view in canonical form."""
    checks: dict[str, str] = field(default_factory=dict)
    """Check → `passed`, the number of its findings, or why it was not made."""
    not_recomputed: Mapping[str, str] = field(default_factory=dict)
    """Derived field → why the judge does not compute it again."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; a check that was required and not made is a finding."""
        return not self.findings

    @property
    def alerts(self) -> int:
        """How many records the alerts topic holds. With none, O4 and O7 had little to look at."""
        return self.counts.get("alerts", 0)

    def add(self, check: str, text: str, **details: object) -> None:
        """Note something that is wrong."""
        self.findings.append(Finding(check, text, details))

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a count."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def made(self, check: str) -> None:
        """Note that a check was made; call it after the check."""
        found = sum(finding.check == check for finding in self.findings)
        self.checks[check] = f"{found} findings" if found else "passed"

    def not_made(self, check: str, reason: str) -> None:
        """Note that a check was not made, and why."""
        self.checks[check] = f"{NOT_MADE}: {reason}"

    def demand(self, required: Collection[str]) -> None:
        """Report each required check that was not made; call it after all of them."""
        for check in sorted(required):
            outcome = self.checks.get(check, NOT_MADE)
            if outcome.startswith(NOT_MADE):
                self.add(check, f"required, but {outcome}")

    def found_by(self, check: str) -> list[Finding]:
        """Return what a check found."""
        return [finding for finding in self.findings if finding.check == check]

    def __str__(self) -> str:
        lines = ["verdict: " + ("nothing is wrong" if self.ok else "WRONG")]
        lines += [f"  {name}: {outcome}" for name, outcome in sorted(self.checks.items())]
        lines.append("  " + ", ".join(f"{n} {v}" for n, v in sorted(self.counts.items())))
        lines += [f"  digest of partition {p}: {d}" for p, d in sorted(self.digests.items())]
        lines += [f"  not recomputed: {n}: {why}" for n, why in self.not_recomputed.items()]
        lines += [f"  {finding}" for finding in self.findings[:SHOWN_FINDINGS]]
        if len(self.findings) > SHOWN_FINDINGS:
            lines.append(f"  and {len(self.findings) - SHOWN_FINDINGS} findings more")
        return "\n".join(lines)

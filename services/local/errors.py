"""What can go wrong with the local broker, Redis and child processes.

LocalError
├── DownloadError            a pinned jar cannot be had, or is not the pinned one
├── StartError               a child did not become ready
├── AlreadyRunningError      another run holds the run directory
└── ChildFailedError         a child keeps exiting
"""


class LocalError(Exception):
    """Base of everything the local environment raises; the message is for a person."""


class DownloadError(LocalError):
    """A pinned jar could not be downloaded, or its bytes are not the pinned ones."""


class StartError(LocalError):
    """A child process did not become ready; the message names its log."""


class AlreadyRunningError(LocalError):
    """Another live run holds the run directory."""


class ChildFailedError(LocalError):
    """A child exited and its restart policy is exhausted; the message names its log."""

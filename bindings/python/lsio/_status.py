"""What a file was when its size was asked for: one that is replaced before it is read is read again."""

from __future__ import annotations

import errno
import os

__all__ = ["TRIES", "changed", "restless"]

TRIES = 10  # before a file counts as one that never stands still


def changed(path: str, then: os.stat_result) -> bool:
    """Say whether another file, or other content, has taken the place of what `then` describes."""
    try:
        now = os.stat(path)
    except OSError:
        return True
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (
        then.st_dev,
        then.st_ino,
        then.st_size,
        then.st_mtime_ns,
    )


def restless(path: str) -> OSError:
    """Make the error for a file that changes as fast as it is read."""
    return OSError(errno.EAGAIN, "it changes while it is read; read it once its writer has ended", path)

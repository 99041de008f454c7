"""Where a job stands in its tree: what it stores so that a part of the tree can be found again."""

from __future__ import annotations

from attrs import frozen

MOST_LEVELS = 32
"""Jobs above it that a job remembers besides its root. A chain of jobs that each submit the next
one goes on for ever, and none of them may grow with it."""
_TOKEN = 16


@frozen
class Member:
    """A job's place in its tree."""

    id: str
    root_id: str
    path: str = ""


def path_token(job_id: str) -> str:
    """What stands for a job in the paths of those below it: half of its id's digits, all random."""
    return job_id[-_TOKEN:]


def child_path(parent_id: str, root_id: str, parent_path: str) -> str:
    """The path of a job that this parent submits: a token for each job between root and child.

    Of more than `MOST_LEVELS` jobs the nearest ones count.
    """
    if parent_id == root_id:
        return ""
    tokens = [*parent_path.split(), path_token(parent_id)]
    return " ".join(tokens[-MOST_LEVELS:])


def is_below(job_id: str, root_id: str, path: str) -> bool:
    """Whether a job with this path, in the tree of this root, is below a job of that tree."""
    return job_id == root_id or path_token(job_id) in path.split()

"""Where a job stands in its tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upnext.model.identity import new_job_id
from upnext.model.lineage import MOST_LEVELS, child_path, is_below, path_token


def chain(length: int) -> list[tuple[str, str]]:
    """(id, path) from a root down."""
    jobs = [(new_job_id("work"), "")]
    root = jobs[0][0]
    for _ in range(length - 1):
        parent, path = jobs[-1]
        jobs.append((new_job_id("work"), child_path(parent, root, path)))
    return jobs


@given(st.integers(2, MOST_LEVELS + 20), st.data())
def test_a_job_is_below_those_above_it_and_no_others(length: int, data: st.DataObject) -> None:
    jobs = chain(length)
    root = jobs[0][0]
    one = data.draw(st.integers(0, length - 1))
    other = data.draw(st.integers(1, length - 1))
    near = other - one <= MOST_LEVELS
    assert is_below(jobs[one][0], root, jobs[other][1]) == (one == 0 or (one < other and near))


def test_children_of_a_root_cost_nothing_and_no_path_grows_for_ever() -> None:
    jobs = chain(200)
    assert jobs[1][1] == ""
    assert max(len(path.split()) for _, path in jobs) == MOST_LEVELS


def test_tokens_tell_jobs_apart() -> None:
    ids = [new_job_id("work") for _ in range(10_000)]
    assert len({path_token(job_id) for job_id in ids}) == len(ids)

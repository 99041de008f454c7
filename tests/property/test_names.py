"""Names that travel: no two meet, and each leads back to where it came from."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from upnext.contracts.keys import Keys
from upnext.model.identity import function_tag, new_job_id, new_worker_id, occurrence_id, tag_of

names = st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_.~]{0,70}", fullmatch=True)
workspaces = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)


@given(names, names)
def test_two_names_never_share_a_tag(one: str, other: str) -> None:
    assert (function_tag(one) == function_tag(other)) == (one == other)


@given(names)
def test_a_tag_is_no_name_for_another_function(name: str) -> None:
    tag = function_tag(name)
    assert tag == name or function_tag(tag) != tag


@given(names)
def test_a_tag_is_safe_in_keys_and_ids(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.~]{1,64}", function_tag(name))


@given(st.from_regex(r"[A-Za-z0-9_.]{1,48}", fullmatch=True))
def test_a_plain_name_is_its_own_tag(name: str) -> None:
    assert function_tag(name) == name


@given(names)
def test_an_id_leads_back_to_its_function(name: str) -> None:
    job_id = new_job_id(function_tag(name))
    assert tag_of(job_id) == function_tag(name)
    parsed = uuid.UUID(job_id.rpartition("-")[2])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


instants = st.integers(0, 2**48 - 1)


@given(names, names, names, instants, instants)
def test_an_occurrence_has_one_id_of_its_own(
    function: str, one: str, other: str, first: int, second: int
) -> None:
    tag = function_tag(function)
    job_id = occurrence_id(tag, one, first)
    assert tag_of(job_id) == tag
    assert uuid.UUID(job_id.rpartition("-")[2]).version == 8
    assert (job_id == occurrence_id(tag, other, second)) == ((one, first) == (other, second))
    assert (job_id < occurrence_id(tag, one, second)) == (first < second)


def test_ids_are_all_different() -> None:
    assert len({new_job_id("f") for _ in range(10_000)}) == 10_000


@given(st.text())
def test_what_is_no_id_is_refused(text: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_.~]{1,64}-[0-9a-f]{32}", text):
        assert tag_of(text)
    else:
        with pytest.raises(ValueError, match="not a job id"):
            tag_of(text)


@given(st.text())
def test_a_worker_id_is_one_word(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.]{11,59}", new_worker_id(name))
    assert new_worker_id(name) != new_worker_id(name)


@given(workspaces, names)
def test_an_id_alone_leads_to_the_keys(workspace: str, name: str) -> None:
    keys, job_id = Keys(workspace), new_job_id(function_tag(name))
    assert keys.of_job(job_id) == keys.function(name)
    assert keys.job(job_id) == f"{keys.function(name)}job:{job_id}"


@given(workspaces, names, st.text(max_size=20))
def test_a_functions_keys_share_one_slot(workspace: str, name: str, suffix: str) -> None:
    keys = Keys(workspace)
    prefix = keys.function(name)
    slots = {key_slot(key.encode()) for key in (prefix, prefix + suffix, keys.definition(name))}
    assert slots == {key_slot(f"{workspace}:{function_tag(name)}".encode())}


@given(workspaces, workspaces, names, names)
def test_prefixes_never_meet(one: str, other: str, name: str, second: str) -> None:
    a, b = Keys(one).function(name), Keys(other).function(second)
    assert (a == b) == ((one, name) == (other, second))
    assert not a.startswith(b) or a == b


@given(st.text())
def test_a_workspace_has_a_plain_name(text: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text):
        assert Keys(text).workspace == text
    else:
        with pytest.raises(ValueError, match="UPNEXT_WORKSPACE_ID"):
            Keys(text)

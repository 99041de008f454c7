"""Job ids never repeat, whoever draws them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from upnext.model.identity import new_job_id

_FORK = """
import os
from upnext.model.identity import new_job_id

new_job_id("f")
ours, theirs = os.pipe()
if os.fork() == 0:
    os.write(theirs, new_job_id("f").encode())
    os._exit(0)
os.wait()
print(new_job_id("f"), os.read(ours, 100).decode())
"""


def _random_part(job_id: str) -> str:
    return job_id[-20:]


def test_an_id_is_a_uuid_of_version_7_whose_other_bits_vary() -> None:
    uuids = [UUID(new_job_id("f").removeprefix("f-")) for _ in range(1_000)]
    assert {(uuid.version, uuid.variant) for uuid in uuids} == {(7, RFC_4122)}
    ones = zeros = 0
    for uuid in uuids:
        ones |= uuid.int
        zeros |= ~uuid.int
    varying = (1 << 76) - 1 & ones & zeros  # of the 76 bits below the version two are the variant
    assert varying.bit_count() == 74


def test_threads_that_draw_together() -> None:
    def draw(_: int) -> list[str]:
        return [new_job_id("f") for _ in range(1_000)]

    with ThreadPoolExecutor(8) as pool:
        ids = [one for drawn in pool.map(draw, range(16)) for one in drawn]
    assert len({_random_part(one) for one in ids}) == 16_000


def test_a_forked_process_draws_anew() -> None:
    done = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, check=True)
    ours, theirs = done.stdout.split()
    assert _random_part(ours) != _random_part(theirs)

"""What the queue's tests are drawn from."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.property.rig import FUNCTIONS
from upnext.model.dedupe import Caching, Dedupe, DedupeKind
from upnext.model.report import Report, ReportKind

functions = st.sampled_from((FUNCTIONS[0], *FUNCTIONS))
workers = st.sampled_from((0, 0, 1))
times = st.sampled_from((*[None] * 7, 0, 1_000, 5_000, 30_000))
limits = st.sampled_from((None, None, None, 1_000, 3_000))
dedupes = st.builds(
    Dedupe,
    kind=st.sampled_from(DedupeKind),
    key=st.sampled_from(("", "a:b")),
    window=st.sampled_from((1_000, 5_000)),
    most=st.sampled_from((None, 500, 7_000)),
)
cachings = st.builds(
    Caching,
    key=st.sampled_from(("c", "1:c é")),
    ttl=st.sampled_from((1_000, 30_000)),
    fresh=st.sampled_from((False, False, True)),
)
payloads = st.sampled_from((b"", b"[]", b'{"n":9007199254740993}', b"\x00\xff"))


def reports_of(said: list[tuple[ReportKind, bytes]], first: int) -> list[Report]:
    """What a job says, numbered from `first` on."""
    return [
        Report(
            kind=kind,
            payload=b"0.5" if kind is ReportKind.PROGRESS else payload,
            text="raw" if kind is ReportKind.OUTPUT else "",
            number=number,
            count=number,
            made_at=1e12,  # no age: both sides ask for it at different times
        )
        for number, (kind, payload) in enumerate(said, first)
    ]

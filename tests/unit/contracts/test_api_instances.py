"""The record of an API's instance is read back as it was written, or refused."""

from __future__ import annotations

import orjson
import pytest

from upnext.contracts.api_instances import ApiInstance

INSTANCE = ApiInstance(
    id="shop.1",
    api_name="shop",
    started_at=1.5,
    last_heartbeat=2.5,
    host="0.0.0.0",
    port=8000,
    endpoints=["GET /orders/{id}"],
    hostname="box",
    pid=7,
)


def test_it_is_read_back() -> None:
    assert ApiInstance.parse(INSTANCE.pack()) == INSTANCE
    later = orjson.loads(INSTANCE.pack()) | {"of_a_later_release": 1}
    assert ApiInstance.parse(orjson.dumps(later)) == INSTANCE


@pytest.mark.parametrize("record", [b"", b"{", b"{}", b"[]", b"3"])
def test_what_is_none_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of orjson, or ours
        ApiInstance.parse(record)

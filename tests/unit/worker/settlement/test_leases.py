from __future__ import annotations

from tests.support.claimed import a_job, held
from upnext.worker.settlement.leases import Leases, LeaseStatistics


def test_what_is_held() -> None:
    leases, one, two = Leases(), a_job(), a_job()
    leases.add([one, two])
    assert leases.held() == [held(one), held(two)]
    assert leases.ids() == [one.id, two.id]
    leases.remove([held(one), held(one)])
    assert leases.held() == [held(two)]
    leases.drop(two.id, two.delivery)
    leases.drop(two.id, two.delivery)
    assert leases.statistics() == LeaseStatistics(0)


def test_an_older_delivery_of_a_job_is_a_lease_of_its_own() -> None:
    leases, old = Leases(), a_job(delivery=1)
    new = a_job(id=old.id, delivery=2)
    leases.add([old, new])
    leases.remove([held(old)])
    assert leases.held() == [held(new)]

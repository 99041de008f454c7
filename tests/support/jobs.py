"""Jobs put in every state by hand, without a worker."""

from __future__ import annotations

import json
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.identity import function_tag, new_job_id
from upnext.model.job import Held, NewJob
from upnext.model.outcome import Ending, Outcome
from upnext.redis.blocking import BlockingCaller
from upnext.redis.url import Address
from upnext.store.bounds import Bounds
from upnext.store.claim import claim_call, parse_claimed
from upnext.store.enqueue import enqueue_calls, parse_enqueued
from upnext.store.scripts import library
from upnext.store.settle import settle_calls


class Queue:
    """A producer and a worker made of bare verbs."""

    def __init__(self, url: str) -> None:
        self.keys, self.bounds = Keys(), Bounds()
        self.client = Address.parse(url).blocking_client()
        self._caller = BlockingCaller(self.client, library())

    def submit(self, function: str, **fields: Any) -> str:
        fields = {"arguments": b"{}"} | fields
        job = NewJob(id=new_job_id(function_tag(function)), function=function, **fields)
        calls = enqueue_calls(self.keys, self.bounds, [job])
        (answer,) = parse_enqueued([job], self._caller.call_many(calls))
        assert not isinstance(answer, Exception)
        return answer.id

    def claim(self, function: str, worker: str = "w.1") -> Held:
        call = claim_call(self.keys, self.bounds, worker, function, 1)
        (job,) = parse_claimed([function], self._caller.call_many([call])).jobs
        return Held(function, job.id, job.delivery)

    def settle(self, held: Held, ending: Ending, worker: str = "w.1", **fields: Any) -> None:
        outcome = Outcome(held=held, ending=ending, duration=5, **fields)
        self._caller.call_many(
            [call for call, _ in settle_calls(self.keys, self.bounds, worker, [outcome])]
        )

    def declare(self, *functions: str) -> None:
        for name in functions:
            self.client.hset(self.keys.functions, self.keys.function(name), name)

    def beat(self, worker: str, **record: Any) -> None:
        text = json.dumps({"id": worker, "worker_name": worker} | record)
        self.client.set(self.keys.worker(worker), text, px=30_000)

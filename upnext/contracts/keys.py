"""Every Redis key and channel, and nowhere else.

Everything of one function carries one hash tag, so that a script touches one slot of a Redis
Cluster (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
The scripts build the keys of a function from its prefix and the suffixes below.

Under a function's prefix `upnext:{<workspace>:<tag>}:`

    job:<id>        hash     one job; expires only after it reached a terminal state
    log:<id>        stream   what a job logged: see `upnext.model.report`; lives as long as the job
    out:<id>        stream   what a job streamed to its listeners; lives as long as the job
    lane:<name>     stream   waiting jobs of one priority; `<p>` or, for handed-back ones, `<p>^`;
                             claimed jobs that have limit keys (`*`) or were picked (`+`)
    lanes           zset     lanes that exist, by claim order
    share           string   counter behind the weighted share of low priorities
    scheduled       zset     job id -> Unix ms when it is due
    key:<key>       string   idempotency key -> id of the unfinished job that holds it
    deadlines       zset     unfinished jobs with a deadline -> Unix ms
    unique:<key>    string   the job that is unique for a period; goes with it
    debounce:<key>  string   the scheduled job that takes the arguments of later submits
    rerun:<key>     string   the unfinished job that has this rerun key
    after:<key>     string   the job that starts when that one is over
    followers       set      the jobs that wait for such an end
    cache:<key>     string   a cached result; goes with its time
    maker:<key>     string   the unfinished job that will make a cached result
    family:<root>   set      unfinished jobs below a root, for cancelling a tree
    cancelled       zset     cancelled trees, and `<root> <token>` for parts of one -> Unix ms when
                             the mark may go
    dead            zset     dead letters -> Unix ms; their records live as long as they do
    dropped         string   counts the dead letters that were dropped
    suspects        hash     worker -> the job it has that was lost with two workers or more
    strange         stream   entries that no job stands behind, kept for a human
    hungry          zset     channels of workers with free slots and nothing to do -> since when
    gate            hash     limits of the function, and until when it is paused
    barred          zset     channels of workers with free slots that wait for a limit -> since when
    rate:<key>      string   how much of a rate is left; '' is the whole function's
    wait:<keys>     zset     waiting jobs that have these limit keys, by priority and order
    ring            zset     limit keys whose jobs may run, by their turn
    timed           zset     limit keys that the rate holds back -> Unix ms of the next start
    busy:<key>      set      running jobs of one concurrency key
    stuck:<key>     zset     limit keys that wait for a running job of this concurrency key to end
    full            set      concurrency keys that have some stuck
    parked, order   string   how many jobs wait by limit keys; a counter for their order
    events          stream   every transition, for history: see contracts/events.py
    journal         string   counts the events ever written
    definition      string   JSON of the function as its worker declared it
    crons           zset     schedule -> Unix ms of its next occurrence; inf while it is paused
    cron:<name>     hash     one schedule, the durable state of a cron; never expires
    line:<name>     list     unfinished jobs of a schedule that run one after another, in order

Under the prefix of a routing group, `upnext:{<workspace>:@<tag>}:`

    most            string   jobs of the group that run at once
    held            hash     worker id -> permits that it has
    until           zset     worker id -> Unix ms when they end, unless renewed
    line            zset     channels of workers that want more -> since when

Per workspace, outside any function: `upnext:<workspace>:functions`, `:paused`, `:crons`,
`:families`, `:worker:<id>`.

Events have a tag of their own, which no function can have: `upnext:{<workspace>:@events}:`

    sent                stream   events that wait to be routed, or are being routed
    seen:<id>           string   this event was stored; makes sending it again a no-op
    key:<name> <key>    string   idempotency key of an event of this name -> its id
    done                hash     event id -> handlers that have their job, of a partial routing
    unhandled           stream   events that no handler matched, for a time
    handlers            hash     function -> JSON of what it listens to
    declared            zset     function -> Unix ms when a worker last said that it runs it
    version             string   changes with the handlers
    hungry              zset     channel of a worker whose router has nothing to do -> since when

Every API has a tag, which no function and no group can have: `upnext:{<workspace>:@@<tag>}:`

    m:<n>:<endpoint>    hash     what an endpoint served in the n-th minute since 1970; of none: in
    h:<n>:<endpoint>             all; hours likewise. See `upnext.model.traffic.Tally`
    endpoints           zset     endpoint -> Unix ms when it was last called
    requests            stream   single requests, the newest
    seen:<writer>       string   the last batch that this process wrote, so that none counts twice
    until, records      zset     the instances that serve it: id -> Unix ms until when it is taken
                                 for alive; and a hash, id -> JSON (contracts/api_instances.py)

`upnext:{<workspace>:@@}:until` and `:records` are the same of the APIs themselves.
"""

from __future__ import annotations

import re

from attrs import Attribute, field, frozen

from upnext.model.identity import function_tag, tag_of

GROUP = "workers"
"""The consumer group of every lane."""

_WORKSPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _check_workspace(instance: object, attribute: Attribute[str], value: str) -> None:
    if not _WORKSPACE.fullmatch(value):
        raise ValueError(
            f"workspace {value!r} must be 1 to 64 letters, digits, dots, dashes or underscores"
            " (UPNEXT_WORKSPACE_ID)"
        )


@frozen
class Keys:
    """The keys of one workspace."""

    workspace: str = field(default="local", validator=_check_workspace)

    def function(self, name: str) -> str:
        """The prefix of a function's keys."""
        return self.tagged(function_tag(name))

    def tagged(self, tag: str) -> str:
        """The prefix of the keys of the function with this tag."""
        return f"upnext:{{{self.workspace}:{tag}}}:"

    def of_job(self, job_id: str) -> str:
        """The prefix of the keys of the function that a job belongs to.

        Raises:
            ValueError: not a job id.
        """
        return self.tagged(tag_of(job_id))

    def job(self, job_id: str) -> str:
        return f"{self.of_job(job_id)}job:{job_id}"

    def definition(self, name: str) -> str:
        return f"{self.function(name)}definition"

    def lanes(self, name: str) -> str:
        return f"{self.function(name)}lanes"

    def lane(self, name: str, lane: str) -> str:
        return f"{self.function(name)}lane:{lane}"

    def scheduled(self, name: str) -> str:
        return f"{self.function(name)}scheduled"

    def parked(self, name: str) -> str:
        return f"{self.function(name)}parked"

    def hungry(self, name: str) -> str:
        return f"{self.function(name)}hungry"

    def gate(self, name: str) -> str:
        return f"{self.function(name)}gate"

    def barred(self, name: str) -> str:
        return f"{self.function(name)}barred"

    def group(self, name: str) -> str:
        """The prefix of the keys of a routing group."""
        return self.tagged("@" + function_tag(name))

    @property
    def paused(self) -> str:
        """Until when the whole workspace is paused, for functions declared meanwhile."""
        return f"upnext:{self.workspace}:paused"

    def due_channel(self, name: str) -> str:
        """Tells stagers that the function's earliest scheduled job changed."""
        return f"{self.function(name)}due"

    def said_channel(self, job_id: str) -> str:
        """Tells listeners what kinds of things the job said (`log output`), and `over` at its end.

        Raises:
            ValueError: not a job id.
        """
        return f"{self.of_job(job_id)}said:{job_id}"

    @property
    def functions(self) -> str:
        """Hash: function tag -> function name, of every function a worker declared."""
        return f"upnext:{self.workspace}:functions"

    @property
    def events(self) -> str:
        """The prefix of the keys of events; no function's tag has an `@`."""
        return self.tagged("@events")

    def api(self, name: str) -> str:
        """The prefix of the keys of an API; no function's or group's tag has `@@`."""
        return self.tagged("@@" + function_tag(name))

    @property
    def apis(self) -> str:
        """The prefix of the keys that say which APIs there are."""
        return self.tagged("@@")

    @property
    def crons(self) -> str:
        """Hash: function prefix -> function name, of every function that ever had a schedule."""
        return f"upnext:{self.workspace}:crons"

    @property
    def families(self) -> str:
        """Set: the names of all functions that another job ever submitted a job of."""
        return f"upnext:{self.workspace}:families"

    def worker(self, worker_id: str) -> str:
        """The heartbeat record of one worker."""
        return f"upnext:{self.workspace}:worker:{worker_id}"

    @property
    def worker_channels(self) -> str:
        """What precedes a worker's id in the name of its control channel."""
        return f"upnext:{self.workspace}:control:"

    def worker_channel(self, worker_id: str) -> str:
        return self.worker_channels + worker_id

    def waiter_channel(self, client_id: str) -> str:
        """Where one client hears of the results it waits for."""
        return f"upnext:{self.workspace}:waiter:{client_id}"

"""All measurements with their figures, and what is aimed at."""

from bench import rows
from bench.results import Figure
from bench.rows import Row
from bench.scene import WORKERS, Sizes


def all_rows(sizes: Sizes) -> tuple[Row, ...]:
    """In the order in which they are taken and shown."""
    return (
        Row(
            "backlog",
            (
                Figure("backlog.rate", f"contents, backlog of {sizes.backlog}, no limit", "/s", "higher", 200, 0),
                Figure("backlog.cpu", "CPU per content", "ms", "lower", 2.0, 2),
                Figure("backlog.machine", "CPU per content, whole machine", "ms", "lower", None, 1),
                Figure("backlog.requests", "API requests per content", "", "lower", 3, 2),
                Figure("backlog.calls", "RPCs per content", "", "lower", 1, 2),
            ),
            rows.backlog,
            rows.backlog_limit,
            repeated=True,
        ),
        Row(
            "burst",
            (
                Figure("burst.rate", f"contents, {sizes.burst} at once, default flags", "/s", "higher", 200, 1),
                Figure("burst.seconds", f"all of {sizes.burst} at once, default flags", "s", "lower", None, 2),
            ),
            rows.burst,
            rows.burst_limit,
            repeated=True,
        ),
        Row(
            "groups",
            (
                Figure("groups.rate", f"groups of five, backlog of {sizes.groups}", "/s", "higher", 150, 0),
                Figure("groups.cpu", "CPU per group of five", "ms", "lower", None, 2),
            ),
            rows.groups,
            rows.groups_limit,
            repeated=True,
        ),
        Row(
            "deletions",
            (
                Figure("deletions.rate", f"deletions, backlog of {sizes.deletions}", "/s", "higher", None, 0),
                Figure("deletions.requests", "API requests per deletion", "", "lower", None, 2),
            ),
            rows.deletions,
            rows.deletions_limit,
        ),
        Row(
            "start",
            (
                Figure("start.first_call", "start to first RPC", "s", "lower", None, 2),
                Figure("start.first_create", "start to first CreateSnapshot", "s", "lower", None, 2),
                Figure("start.cpu", "CPU of start and one content", "s", "lower", None, 2),
            ),
            rows.start,
            repeated=True,
        ),
        Row(
            "steady",
            tuple(
                Figure(f"steady.p{part}.{rate}", f"created to ready at {rate}/s, p{part}", "ms", "lower", None, 1)
                for rate in sizes.steady_rates
                for part in (50, 99)
            ),
            rows.steady,
            rows.steady_limit,
        ),
        Row(
            "slow",
            tuple(
                Figure(
                    f"slow.share.{delay:g}",
                    f"driver of {delay:g} s: share of what {WORKERS} workers can do",
                    "%",
                    "higher",
                    None,
                    0,
                )
                for delay, _ in sizes.delays
            ),
            rows.slow_driver,
        ),
        Row(
            "proportion",
            tuple(
                figure
                for count, _ in sizes.backlogs
                for figure in (
                    Figure(f"proportion.rate.{count}", f"contents, backlog of {count:,}", "/s", "higher", None, 0),
                    Figure(f"proportion.cpu.{count}", f"CPU per content of {count:,}", "ms", "lower", None, 2),
                    Figure(f"proportion.requests.{count}", f"API requests per content of {count:,}", "", "lower", 3, 2),
                )
            ),
            rows.proportion,
        ),
        Row(
            "memory",
            (
                Figure("memory.idle", "resident, idle", "MB", "lower", 70, 0),
                *(
                    Figure(f"memory.others.{count}", f"resident, {count:,} of another driver", "MB", "lower", 70, 0)
                    for count in sizes.others
                ),
                Figure("memory.own", f"resident, {sizes.ready:,} of its own, ready", "MB", "lower", None, 0),
            ),
            rows.memory,
        ),
        Row(
            "relist",
            (
                Figure(
                    "relist.worst",
                    f"a new content waits at most, while {sizes.ready:,} are listed anew",
                    "s",
                    "lower",
                    1.0,
                    2,
                ),
                Figure("relist.before", "one that came before, when the watch was lost", "s", "lower", None, 2),
                Figure("relist.cpu", f"CPU of listing {sizes.ready:,} anew", "s", "lower", None, 2),
                Figure("ready.calls", f"RPCs for {sizes.ready:,} ready contents at the start", "", "lower", 0, 0),
                Figure("ready.requests", f"writes for {sizes.ready:,} ready contents at the start", "", "lower", 0, 0),
            ),
            rows.relist,
        ),
        Row(
            "handover",
            (Figure("handover.seconds", "SIGTERM to the leader until its successor calls", "s", "lower", 3, 1),),
            rows.handover,
        ),
        Row(
            "lag",
            (
                Figure("lag.p99", f"event loop late by, p99, {sizes.concurrent} calls at a time", "ms", "lower", 50, 0),
                Figure(
                    "lag.p50", f"event loop late by, p50, {sizes.concurrent} calls at a time", "ms", "lower", None, 0
                ),
            ),
            rows.lag,
            for_peers=False,
        ),
        Row(
            "driver",
            (Figure("driver.rate", "calls that the driver answers at least", "/s", "higher", None, 0),),
            None,
            rows.driver_alone,
        ),
    )


TITLES = {
    "backlog": ("How a backlog is worked off", ("seconds", "contents done")),
    "steady": ("From created to ready", ("per cent of the contents", "milliseconds at most")),
    "proportion": ("Cost and size of the backlog", ("contents", "CPU per content, ms")),
    "memory": ("Resident memory and contents of the cluster", ("contents", "MB")),
}
"""The curves: their titles and their axes."""

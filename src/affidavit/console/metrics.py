"""Figures for Prometheus, in its text format 0.0.4.

Rules: anybody may fetch them, so they name no person, model, tenant or key; witnesses are named, as
they are in the public checkpoint. A figure that is not known is left out, never 0. Counters begin
with the process. Times are seconds since 1970, ages seconds. Not here: where figures come from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from affidavit.clock import to_unix_us
from affidavit.console.services import ConsoleServices

Sample = tuple[Mapping[str, str], float]
_PLAIN = {
    "size": ("affidavit_ledger_leaves", "Leaves in the ledger."),
    "published": ("affidavit_ledger_published_leaves", "Leaves under the checkpoint."),
    "indexed": ("affidavit_index_leaves", "Leaves the index has taken in."),
    "backlog_bytes": ("affidavit_journal_backlog_bytes", "Journal bytes not yet removed."),
}


class Metric(NamedTuple):
    """One figure with its samples; without any it is not shown."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]

    def lines(self) -> Iterable[str]:
        """As the format has it."""
        yield f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.kind}\n"
        for labels, value in self.samples:
            named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield (
                f"{self.name}{{{named}}} {value:.15g}\n" if named else f"{self.name} {value:.15g}\n"
            )


def text(services: ConsoleServices, found: Mapping[str, Any]) -> str:
    """All figures; ``found`` is what ``public.figures`` says."""
    now = services.clock.now()
    every = [*_own(services, found), *_retention(found, now), *_anchors(found, now)]
    return "".join(line for metric in every if metric.samples for line in metric.lines())


def _own(services: ConsoleServices, found: Mapping[str, Any]) -> Iterable[Metric]:
    yield _gauge(
        "affidavit_recording", "1 if the console can record reads.", int(found["recording"])
    )
    yield _gauge("affidavit_sequencer_up", "1 if the sequencer answers.", int(found["sequencer"]))
    for key, (name, help_text) in _PLAIN.items():
        yield _gauge(name, help_text, found.get(key))
    trouble = found.get("trouble")
    in_trouble = len(trouble) if isinstance(trouble, dict) else None
    yield _gauge("affidavit_journals_in_trouble", "Journals that need a person.", in_trouble)
    now = services.clock.now()
    glasses = sum(now < glass.until for glass in services.snapshot().glasses)
    yield _gauge("affidavit_break_glass", "Boundaries widened by a broken glass.", glasses)
    limits = services.limits
    yield _gauge("affidavit_console_tails_open", "Live tails that are open.", limits.tails)
    for name, help_text, label, counted in (
        ("reads_total", "Reads on record, and refusals, by kind.", "kind", services.reads),
        ("refusals_total", "Refusals by code.", "code", services.refusals),
        ("limits_hit_total", "Refusals by the limit that was hit.", "limit", limits.hit),
    ):
        samples = [({label: one}, float(count)) for one, count in sorted(counted.items())]
        yield Metric(f"affidavit_console_{name}", "counter", help_text, samples)


_RETENTION = (
    ("due_buckets", "due_buckets", "Buckets over their maximum."),
    ("due_records", "due_records", "Records over their maximum that nothing holds."),
    ("overdue_buckets", "overdue_buckets", "Of those buckets, over it for more than a day."),
    ("overdue_records", "overdue_records", "Of those records, over it for more than a day."),
    ("held_records", "held_over_maximum_records", "Records over their maximum, kept by a hold."),
    ("unknown_buckets", "unknown_class_buckets", "Buckets of a class that is not configured."),
    ("damaged_buckets", "damaged_buckets", "Buckets of all these that cannot be read whole."),
)


def _retention(found: Mapping[str, Any], now: str) -> Iterable[Metric]:
    """What is kept longer than it may be."""
    told = found.get("retention")
    if not told:
        return
    for key, name, help_text in _RETENTION:
        yield _gauge(f"affidavit_retention_{name}", help_text, told.get(key))
    oldest = told.get("oldest")
    since = None if oldest is None else _age(f"{oldest}T00:00:00.000000Z", now) if oldest else 0
    help_text = "How long the oldest of them has been over its maximum."
    yield _gauge("affidavit_retention_overdue_oldest_seconds", help_text, since)
    failing = int(bool(told.get("problem")))
    yield _gauge("affidavit_retention_failing", "1 if what is kept cannot be counted.", failing)


def _anchors(found: Mapping[str, Any], now: str) -> Iterable[Metric]:
    """Who outside vouches for the log, how far, and since when."""
    if "anchored" not in found:
        return
    name, help_text = "affidavit_log_anchored", "1 if somebody outside holds a checkpoint."
    yield _gauge(name, help_text, int(found["anchored"]))
    waits = found.get("waits_since")
    name, help_text = (
        "affidavit_log_waits_seconds",
        "How long a checkpoint waits for its witnesses.",
    )
    yield _gauge(name, help_text, _age(waits, now) if waits else 0)
    witnesses = [({"witness": one["name"]}, one) for one in found.get("witnesses") or ()]
    for name, help_text, value in (
        ("cosigned_leaves", "Leaves under the newest note it cosigned.", lambda one: one["size"]),
        ("last_success_seconds", "When it last cosigned.", lambda one: _seconds(one.get("time"))),
        ("failing", "1 if it could not be asked.", lambda one: int(bool(one["error"]))),
        ("alarm", "1 if it holds another history of the log.", lambda one: int(one["alarm"])),
    ):
        samples = [(label, value(one)) for label, one in witnesses]
        known = [(label, float(one)) for label, one in samples if one is not None]
        yield Metric(f"affidavit_witness_{name}", "gauge", help_text, known)
    for key, what in (("timestamp", "timestamp"), ("copies", "copy")):
        one = found.get(key)
        if one is None:
            continue
        yield _gauge(f"affidavit_{what}_leaves", f"Leaves under the newest {what}.", one["size"])
        failing = int(bool(one["error"]))
        yield _gauge(f"affidavit_{what}_failing", f"1 if no {what} could be made.", failing)
        if one.get("time"):
            name, age = f"affidavit_{what}_age_seconds", _age(one["time"], now)
            yield _gauge(name, f"Age of the newest {what}.", age)


def _gauge(name: str, help_text: str, value: float | None) -> Metric:
    return Metric(name, "gauge", help_text, [] if value is None else [({}, float(value))])


def _seconds(time: str | None) -> float | None:
    return None if time is None else to_unix_us(time) / 1e6


def _age(time: str, now: str) -> float:
    return max(0.0, (to_unix_us(now) - to_unix_us(time)) / 1e6)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""Proved answers: the four-line verdict of a query, and evidence bundles.

Rules: a verdict is what the standalone verifier says about the very bundle that an export would be,
under what this installation trusts (``trust``); nothing here judges by itself. A bundle holds what
the reader's boundary shows and digests of the rest. A chain runs through a whole tenant, so a
reader whose rows are fewer is proved nothing by it and gets a list of those rows alone, or, where
the boundary lets it know how much is withheld, how many records the chain has. A proof
that the rows of the search contradict is not given: the answer says so instead. The record of an
export commits to the manifest and is durable before the first byte. Not here: the format
(``evidence.bundle``) and its check (``evidence.verify``).
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.console import erased, report_kinds, resolve, trust
from affidavit.console.access import Access
from affidavit.console.auth import Reader
from affidavit.console.contradicted import HINTS, contradicted
from affidavit.console.exported import Disclosed, runs
from affidavit.console.reads import Reads
from affidavit.console.retention_api import known_holds
from affidavit.console.services import ConsoleServices
from affidavit.errors import PrunedError, RefusedError, UnavailableError, UsageError
from affidavit.evidence import bundle, report
from affidavit.evidence.tools import tools
from affidavit.query import completeness, language
from affidavit.query.boundary import subject as subject_boundary
from affidavit.query.completeness import Answer
from affidavit.query.custody import custody
from affidavit.query.kept import Hold
from affidavit.query.kept_records import Under, kept_records, unknown
from affidavit.query.question import Question, counting, question, sampling, unproved
from affidavit.query.tree import All, Tree
from affidavit.record.disclose import open_disclosure
from affidavit.record.model import SECTIONS

PAGE = 1000
TOOLS = tools()
WITNESS_SECONDS = 3.0
"""How long an answer waits for the cosignatures of witnesses over its newest leaf."""
LINES = ("integrity", "completeness", "assurance", "coverage")
NARROW = "your boundary is narrower than the chain"
WITHHELD = (*SECTIONS, "custody", "retention")
"""What may be left out: sections, who has read the records, how they are kept."""
MAX_LISTED = 100_000
"""Records that an export lists where no chain proves that they are all."""


@dataclass(frozen=True)
class Wanted:
    """What to export: which records, which sections to leave out, how much of the content.

    ``count``: only how many there are, and nothing of any of them. ``sample``: so many of the
    records, drawn by ``seed``; 0 for all of them. ``people``: say who has read them and how they
    are kept, under which of the ``holds`` that the reader may know of, ``under`` which requests
    what is gone was erased. ``report``: what the page is about; ``witnesses``: what is known of
    them, for that of a period; ``models``: how many there are, for an attestation. ``disclosed``
    is told what the bundle discloses of each leaf. ``subject``: the pseudonym of whom it is about;
    of records of others, ``who`` and ``person`` are left out.
    """

    expression: str
    withhold: tuple[str, ...] = ()
    content: bundle.Content = "digest"
    purpose: str = ""
    count: bool = False
    sample: int = 0
    seed: str = ""
    people: bool = False
    holds: Sequence[Hold] | None = None
    under: Under = unknown
    disclosed: Callable[[int, bundle.Shown], None] | None = None
    report: report_kinds.Kind = "records"
    witnesses: Sequence[dict[str, Any]] = ()
    models: int = 0
    subject: str = ""


class Proofs:
    """Verdicts and bundles for any reader."""

    def __init__(self, services: ConsoleServices, access: Access, reads: Reads) -> None:
        self._services = services
        self._access = access
        self._reads = reads

    async def verdict(
        self, reader: Reader, expression: str, purpose: str, *, count: bool = False
    ) -> dict[str, Any]:
        """The four lines for ``expression``, the counts they rest on, and ``proved``.

        ``proved``: no record of the chains that hold the answer can be missing. ``count``: only
        how many is asked. The caller has recorded the question. ``CorruptError`` if the evidence
        does not verify; ``UsageError`` for what cannot be counted without showing it.
        """
        wanted = Wanted(expression, content="none", purpose=purpose, count=count)
        with self._services.limits.expensive(reader.account):
            made = await self._services.blocking(lambda: self._make(reader, wanted))
            lines = dict(zip(LINES, made.verdict, strict=True))
            proved = not lines["completeness"].startswith("not proved")
            answer = {**lines, "proved": proved, "counts": made.counts}
            boundary = reader.boundary
            if boundary.counts and not boundary.whole_tenants and not count:
                chain = await self._services.blocking(lambda: self._chain(reader, wanted))
                answer["chain"] = chain
        return answer

    def _chain(self, reader: Reader, wanted: Wanted) -> dict[str, Any] | None:
        """How many records the chain of a question has, beyond the boundary, too; none is shown.

        ``None`` where that cannot be told without showing some.
        """
        try:
            made = self._make(reader, dataclasses.replace(wanted, count=True))
        except UsageError:
            return None
        return {"records": made.counts["records"], **dict(zip(LINES, made.verdict, strict=True))}

    async def export(self, reader: Reader, wanted: Wanted) -> bundle.Bundle:
        """Make a bundle and record that it was made; then it may leave.

        ``UsageError``: there is no such section; ``RefusedError``: content beyond the boundary;
        ``UnavailableError``: something in it was erased meanwhile.
        """
        unknown = [name for name in wanted.withhold if name not in WITHHELD]
        if unknown:
            raise UsageError(
                f"There is no section {unknown[0]}.", hint=f"Sections: {', '.join(WITHHELD)}"
            )
        if wanted.content == "full" and not reader.boundary.shows_content(wanted.purpose):
            stated = "--reason TEXT" if reader.boundary.content == "with_reason" else ""
            raise RefusedError(
                "Content is outside your boundary.",
                hint="Two persons reveal one record." if reader.boundary.persons > 1 else stated,
            )
        if (wanted.sample > 0) != bool(wanted.seed) or (wanted.sample and wanted.count):
            raise UsageError("A sample needs its size and a seed, and shows what it draws.")
        reader.boundary.demand(wanted.purpose)
        wanted = await self._completed(reader, wanted)
        tree = self._reads.parse(reader, wanted.expression)
        asked = {"operation": "export", **self._reads.recorded(reader, tree)}
        async with self._access.looking(reader, asked, wanted.purpose):
            with self._services.limits.expensive(reader.account):
                made, given = await self._services.blocking(lambda: self._given(reader, wanted))
        what = {
            **asked,
            "manifest": made.manifest_digest,
            "withhold": list(wanted.withhold),
            "content": wanted.content,
            "count": wanted.count,
            **({"sample": wanted.sample, "seed": wanted.seed} if wanted.sample else {}),
            **({"report": wanted.report} if wanted.report != "records" else {}),
            **({"subject": wanted.subject} if wanted.subject else {}),
            "leaves": runs(made.records),
            "rows": made.counts["records"],
            "size": len(made.data),
        }
        await self._access.read("access.export", reader, what, wanted.purpose)
        await self._services.blocking(given.check)  # it leaves after its record, or not at all
        return made

    def _given(self, reader: Reader, wanted: Wanted) -> tuple[bundle.Bundle, Disclosed]:
        """The bundle, and what to check once it is on record."""
        given = Disclosed(self._services.vault, self._services.log)
        made = self._make(reader, dataclasses.replace(wanted, disclosed=given.add))
        given.check()
        return made, given

    async def _completed(self, reader: Reader, wanted: Wanted) -> Wanted:
        """What is wanted, with what the sequencer knows of it."""
        services, kind = self._services, wanted.report
        count = wanted.count or kind == "attestation"
        holds = await known_holds(services, reader) if wanted.people and not count else None
        status = await services.control.call("status") if kind == "period" else {}
        return dataclasses.replace(
            wanted, holds=holds, under=erased.from_thread(services), count=count,
            witnesses=status.get("witnesses", ()),
            expression=report_kinds.asked_for(kind, wanted.expression, services.clock.now()),
        )  # fmt: skip

    def _make(self, reader: Reader, wanted: Wanted) -> bundle.Bundle:
        services, now = self._services, self._services.clock.now()
        tree = language.parse(wanted.expression, now)
        snapshot, tenants = services.snapshot(), self._tenants(reader)
        if wanted.report != "records":
            report_kinds.check_tenant(tree, tenants)
        asked = question(
            tree, tenants, lambda field, value: resolve.pseudonyms(field, value, reader, snapshot)
        )
        if wanted.report == "period":
            asked = report_kinds.proved(asked)
        searched = resolve.widened(tree, reader, snapshot)
        boundary = reader.boundary
        own = bool(wanted.subject) and boundary.rows == self._rows_of(reader, wanted.subject)
        if not boundary.whole_tenants and not own and not (wanted.count and boundary.counts):
            asked = unproved(asked, NARROW)
        if wanted.report == "attestation":
            models, number = report_kinds.models_of(services.searcher, boundary, searched)
            wanted = dataclasses.replace(wanted, models=number)
            asked = report_kinds.attested(asked, models)
        if wanted.count:
            asked = counting(asked)
        if wanted.sample:
            sampling(asked)
        answer, made = self._bundle(reader, wanted, searched, asked, now)
        if answer.question.not_proved and not asked.not_proved:  # then the list is all there is
            asked = answer.question
            answer, made = self._bundle(reader, wanted, searched, asked, now)
        why = contradicted(
            services.searcher, boundary, wanted.purpose, searched, answer, made.counts
        )
        if why and wanted.count:
            raise UnavailableError(f"No count is given: {why}.", hint=HINTS[why])
        if why:
            _, made = self._bundle(reader, wanted, searched, unproved(asked, why), now)
        return made

    def _bundle(
        self, reader: Reader, wanted: Wanted, searched: Tree, asked: Question, now: str
    ) -> tuple[Answer, bundle.Bundle]:
        services = self._services
        # Without a chain the list is all there is; with conditions it says what is shown whole.
        listed = None
        if asked.not_proved or (asked.conditions and not wanted.sample):
            listed = self._listed(reader, wanted, searched)
        answer = completeness.build(
            services.log,
            services.prover,
            asked,
            listed=listed if listed and asked.not_proved else (),
            answers=self._answered,
            within=None if reader.boundary.rows == All() else self._within(reader),
            wait=WITNESS_SECONDS if trust.witnessed(services.config) else 0.0,
        )
        sample = bundle.Sample(wanted.sample, wanted.seed) if wanted.sample else None
        made = bundle.make(
            answer,
            self._show(reader, wanted, answer),
            choice=bundle.Choice(wanted.withhold, wanted.content, listed, sample),
            boundary=reader.boundary.as_json(),
            made=now,
            policy=trust.policy(services),
            tools=TOOLS,
            render=self._page(reader, wanted, searched, asked),
            told=wanted.disclosed,
            **self._for_people(reader, wanted, answer, now),
        )
        return answer, made

    def _page(
        self, reader: Reader, wanted: Wanted, searched: Tree, asked: Question
    ) -> report_kinds.Render:
        """What makes the page of the bundle."""
        searcher = self._services.searcher
        boundary = reader.boundary._replace(purpose=False)  # it was stated
        if wanted.report == "period":
            return report_kinds.page_of_period(searcher, boundary, searched, wanted.witnesses)
        if wanted.report == "attestation":
            return report_kinds.page_of_attestation(self._services.config, asked, wanted.models)
        return report.render

    def _for_people(
        self, reader: Reader, wanted: Wanted, answer: Answer, now: str
    ) -> dict[str, Any]:
        """Custody and retention of what is in the bundle; none where only a count is.

        Of the reads, too, no section is told that is withheld.
        """
        if answer.question.count or not wanted.people:
            return {}
        services = self._services
        sections = reader.boundary.sections.difference(wanted.withhold)
        boundary = reader.boundary._replace(sections=sections, purpose=False)  # it was stated
        records = sorted({*answer.records, *answer.halves.values()})
        told: dict[str, Any] = {}
        if "retention" not in wanted.withhold:
            told["retention"] = kept_records(
                services.searcher, services.vault, services.config, boundary, records, now,
                wanted.holds, wanted.under,
            )  # fmt: skip
        if "custody" not in wanted.withhold:
            told["custody"] = custody(services.searcher, boundary, records, answer.size)
        return told

    def _rows_of(self, reader: Reader, subject: str) -> Tree:
        """The rows of a person's boundary, which are those of the person's chain."""
        return subject_boundary(subject, reader.identity.tenant).rows

    def _tenants(self, reader: Reader) -> list[str]:
        """The tenants a question is about: the reader's; all of them, and none, for an owner."""
        if reader.identity.role != "owner":
            return [reader.identity.tenant]
        return sorted({"", *(identity.tenant for identity in self._services.snapshot().identities)})

    def _listed(self, reader: Reader, wanted: Wanted, searched: Tree) -> list[int]:
        """The published records that match; ``UsageError`` if there are too many for a list."""
        published = self._services.log.checkpoint().size
        found: list[int] = []
        cursor = ""
        while True:
            page = self._services.searcher.run(
                searched, reader.boundary, limit=PAGE, cursor=cursor, reason=wanted.purpose
            )
            found += [row["index"] for row in page.rows if row["index"] < published]
            cursor = page.cursor
            if len(found) > MAX_LISTED:
                raise UsageError(
                    f"More than {MAX_LISTED} records match.", hint="Narrow it: since:… until:…"
                )
            if not cursor:
                return sorted(found)

    def _within(self, reader: Reader) -> Callable[[int], bool]:
        """Whether a leaf is of a record of which the reader may know."""
        searcher, boundary = self._services.searcher, reader.boundary
        return lambda index: bool(searcher.within([index], boundary))

    def _answered(self, index: int) -> int | None:
        row = self._services.reader.row(index)
        return None if row is None else row.answered

    def _show(
        self, reader: Reader, wanted: Wanted, answer: Answer
    ) -> Callable[[int], bundle.Shown]:
        """What of each leaf may be shown: nothing outside the rows, sections of the boundary."""
        services = self._services
        within = set(services.searcher.within(sorted(answer.leaves), reader.boundary))

        def show(index: int) -> bundle.Shown:
            if index not in within:
                return bundle.NOTHING
            try:
                texts = services.vault.disclosures(index)
                parts = services.vault.salted_parts(index) if wanted.content == "full" else ()
            except PrunedError:  # since the answer was made; the verdict says what is not disclosed
                return bundle.NOTHING
            shown = reader.boundary.sections
            if wanted.subject and _of_another(texts[0], wanted.subject):
                shown = shown - {"who", "person"}
            disclosures = tuple(
                text if name in shown else None for name, text in zip(SECTIONS, texts, strict=True)
            )
            return bundle.Shown(disclosures, parts)

        return show


def _of_another(text: str | None, subject: str) -> bool:
    """Whether the ``who`` in a disclosure is somebody else than the ``subject``."""
    who = None if text is None else open_disclosure(text, "who")
    return isinstance(who, dict) and who.get("actor") != subject

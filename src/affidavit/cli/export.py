"""``affidavit export``: an evidence bundle that verifies offline."""

from typing import Annotated

import typer

from affidavit.cli import bundles, options, saved
from affidavit.cli.client import Client
from affidavit.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(export)


def export(
    file: bundles.Output,
    expression: Annotated[
        str | None, typer.Argument(help="What to export.", metavar="EXPR", show_default=False)
    ] = None,
    withhold: Annotated[
        list[str] | None,
        typer.Option(
            "--withhold",
            help="Section to leave out, or custody, or retention; may be repeated.",
            metavar="SECTION",
        ),
    ] = None,
    content: Annotated[
        str, typer.Option("--content", help="none, digest or full.", metavar="HOW")
    ] = "digest",
    count: Annotated[
        bool, typer.Option("--count", help="Only prove how many there are, and show no record.")
    ] = False,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Show so many of the records.", metavar="N")
    ] = 0,
    seed: Annotated[
        str, typer.Option("--seed", help="What the sample is drawn by; any text.", metavar="S")
    ] = "",
    attestation: Annotated[
        bool, typer.Option("--attestation", help="Numbers of a tenant for a customer, no record.")
    ] = False,
    pdf: bundles.Pdf = None,
    force: bundles.Force = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Write evidence to FILE: what matches, and the proof of it.

    The export is recorded. With --sample and --seed some of the records are drawn and shown, and
    the others proved to exist; from the same records the same seed draws the same. With
    --attestation, EXPR is a window (and tenant:NAME): counts, models, retention, no record.

    Example: affidavit export 'model:gpt-4o since:90d' -o evidence.zip
    """
    if content not in ("none", "digest", "full"):
        raise UsageError(f"--content {content} is not none, digest or full.")
    if (sample > 0) != bool(seed):
        raise UsageError("--sample and --seed belong together.", hint="--sample 25 --seed 2026-Q3")
    if expression is None and not attestation:
        raise UsageError("What is to be exported?", hint="affidavit export 'since:90d' -o FILE")
    for one in (file, pdf):
        if one is not None:
            bundles.check_free(one, force=force)
    client = Client(data, url, timeout=bundles.PATIENCE)
    asked: dict[str, object] = {
        "expression": saved.words(client, expression or ""),
        "withhold": withhold or [],
        "content": content,
        "purpose": reason,
        "count": count,
        "sample": sample,
        "seed": seed,
        "report": "attestation" if attestation else "records",
    }
    bundles.fetch(client, asked, file, pdf, json=json)

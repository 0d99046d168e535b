"""``affidavit demo-provider``: the demo's model provider alone, for tests and demonstrations."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb, which help does not list."""
    app.command("demo-provider", hidden=True)(demo_provider)


def demo_provider(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port.")] = 8786,
    pace: Annotated[
        float, typer.Option("--pace", min=0.0, help="Seconds between pieces of a stream.")
    ] = 0.02,
) -> None:
    """Serve demo models on 127.0.0.1; both dialects under one address.

    Example: affidavit demo-provider --port 8786
    """
    from affidavit.demo.provider import run

    run("127.0.0.1", port, pace=pace)

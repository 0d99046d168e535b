"""``affidavit config``: is the file what it should be."""

from typing import Any

import typer

from affidavit.cli import options, output

app = typer.Typer(help="The configuration file.", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """The configuration file."""


@app.command("check")
def check(
    data: options.Data = None, config: options.Config = None, json: options.Json = False
) -> None:
    """Read the configuration and say what is in force.

    Values of secrets are never shown.

    Example: affidavit config check --config config.yaml
    """
    from affidavit.config import load

    path = config or options.data_directory(data) / "config.yaml"
    loaded = load(path, options.environment())
    providers: list[dict[str, Any]] = [
        {
            "provider": name,
            "dialect": provider.dialect,
            "base_url": provider.base_url,
            "credential": provider.credential,
            "off": provider.off,
        }
        for name, provider in sorted(loaded.providers.items())
    ]
    if json:
        output.json_line({"file": str(path), "hash": loaded.hash(), "providers": providers})
        return
    output.facts([("File", path), ("Hash", loaded.hash())])
    rows = [
        (p["provider"], p["dialect"], p["base_url"], p["credential"],
         f"off: {p['off']}" if p["off"] else "on")
        for p in providers
    ]  # fmt: skip
    output.table(("Provider", "Dialect", "Base URL", "Credential", "State"), rows)

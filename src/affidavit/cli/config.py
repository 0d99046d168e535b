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
    from affidavit.app.cosigning import load_policy
    from affidavit.app.stamping import trust_anchors
    from affidavit.config import load

    path = config or options.data_directory(data) / "config.yaml"
    loaded = load(path, options.environment())
    policy = load_policy(loaded)
    trust_anchors(loaded, policy)
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
        anchors = loaded.anchored
        output.json_line(
            {"file": str(path), "hash": loaded.hash(), "providers": providers, "anchored": anchors}
        )
        return
    vouching = [] if policy is None else [f"witness {one.name}" for one in policy.witnesses]
    vouching += [f"timestamps of {loaded.timestamps.url}"] if loaded.timestamps.url else []
    vouching += [f"copies in {loaded.anchors.copy_to}"] if loaded.anchors.copy_to else []
    vouched = ", ".join(vouching) or "nobody: every verdict says own key only"
    output.facts([("File", path), ("Hash", loaded.hash()), ("Vouched for by", vouched)])
    rows = [
        (p["provider"], p["dialect"], p["base_url"], p["credential"],
         f"off: {p['off']}" if p["off"] else "on")
        for p in providers
    ]  # fmt: skip
    output.table(("Provider", "Dialect", "Base URL", "Credential", "State"), rows)

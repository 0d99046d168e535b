"""``affidavit config``: is the file what it should be."""

from pathlib import Path
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
    """Read a configuration and say what it means.

    The file is --config, else that of the server which runs on the data directory, else its
    config.yaml. Which keys of providers are set is asked of the running server, else of this
    shell. Values of secrets are never shown.

    Example: affidavit config check --config config.yaml
    """
    from affidavit.app import running
    from affidavit.app.cosigning import load_policy
    from affidavit.app.stamping import trust_anchors
    from affidavit.config import load
    from affidavit.query import named

    directory = options.data_directory(data)
    runs = running.find(directory)
    path = config or (Path(runs.config) if runs else directory / "config.yaml")
    if runs is not None and path.absolute() != Path(runs.config):
        runs = None  # something runs, with another configuration
    loaded = load(path, options.environment())
    named.check(loaded, str(path))
    policy = load_policy(loaded)
    trust_anchors(loaded, policy)
    providers: list[dict[str, Any]] = [
        {
            "provider": name,
            "dialect": provider.dialect,
            "base_url": None if provider.base_url == options.DEMO_URL else provider.base_url,
            "credential": provider.credential,
            "off": runs.off.get(name) if runs is not None else provider.off,
        }
        for name, provider in sorted(loaded.providers.items())
    ]
    halves = named.one_half(loaded)
    process = runs.pid if runs is not None else None
    if json:
        told = {"file": str(path), "hash": loaded.hash(), "process": process}
        output.json_line({**told, "providers": providers, "anchored": loaded.anchored,
             "boundaries": list(loaded.boundaries),
             "classes": list(loaded.retention.classes), "one_half": halves})  # fmt: skip
        return
    bounded = ", ".join(loaded.boundaries) or "none: what a reader sees follows from the role"
    vouching = [] if policy is None else [f"witness {one.name}" for one in policy.witnesses]
    vouching += [f"timestamps of {loaded.timestamps.url}"] if loaded.timestamps.url else []
    vouching += [f"copies in {loaded.anchors.copy_to}"] if loaded.anchors.copy_to else []
    vouched = ", ".join(vouching) or "nobody: every verdict says own key only"
    kept = f"classes {', '.join(loaded.retention.classes)}; affidavit retention check"
    kept = kept if loaded.retention.classes else "no class has a limit: everything is kept"
    asked = f"as the running process {process} has them" if process else "as this shell has them"
    output.facts(
        [("File", path), ("Hash", loaded.hash()), ("Vouched for by", vouched),
         ("Boundaries", bounded), ("Retention", kept),
         ("Keys of providers", asked)]
    )  # fmt: skip
    for title, conditions in halves.items():
        output.say(
            f"Boundary {title}: only one half of an exchange meets {', '.join(conditions)}; the "
            "other half, such as the request with its prompt, is shown or not without it."
        )
    rows = [
        (p["provider"], p["dialect"], p["base_url"] or "the demo's own, from up --demo",
         p["credential"], f"off: {p['off']}" if p["off"] else "on")
        for p in providers
    ]  # fmt: skip
    if rows:
        output.table(("Provider", "Dialect", "Base URL", "Credential", "State"), rows)
    else:
        output.plain("Defaults alone, without providers: no call can be made.")

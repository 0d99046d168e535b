"""``affidavit config``: is the file what it should be."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from affidavit.cli import options, output

if TYPE_CHECKING:
    from affidavit.config import Config

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

    Exit code 4 if a key-encryption key in AWS KMS cannot be used because boto3 is not installed.

    Example: affidavit config check --config config.yaml
    """
    from affidavit.app import running
    from affidavit.app.cosigning import load_policy
    from affidavit.app.paths import Paths
    from affidavit.app.stamping import trust_anchors
    from affidavit.config import load
    from affidavit.query import named

    directory = options.data_directory(data)
    runs = running.find(directory)
    path = config or (Path(runs.config) if runs else directory / "config.yaml")
    if runs is not None and path.absolute() != Path(runs.config):
        runs = None  # something runs, with another configuration
    demo = runs.demo if runs is not None else running.demo_url(Paths(directory))
    loaded = load(path, options.environment(demo))
    named.check(loaded, str(path))
    policy = load_policy(loaded)
    trust_anchors(loaded, policy)
    providers: list[dict[str, Any]] = [
        {
            "provider": name,
            "dialect": provider.dialect,
            "base_url": None
            if provider.base_url in (options.DEMO_URL, demo)
            else provider.base_url,
            "credential": provider.credential,
            "off": runs.off.get(name) if runs is not None else provider.off,
        }
        for name, provider in sorted(loaded.providers.items())
    ]
    halves = named.one_half(loaded)
    keys = _keys(loaded, directory)
    process = runs.pid if runs is not None else None
    if json:
        told = {"file": str(path), "hash": loaded.hash(), "process": process}
        output.json_line({**told, "providers": providers, "anchored": loaded.anchored,
             "boundaries": list(loaded.boundaries),
             "classes": list(loaded.retention.classes), "one_half": halves,
             "keys": keys._asdict()})  # fmt: skip
        keys.check()
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
        [("File", path), ("Hash", f"{loaded.hash()} (config_hash in records)"),
         ("Vouched for by", vouched), ("Key-encryption key", keys.told()),
         ("Boundaries", bounded), ("Retention", kept), ("Keys of providers", asked)]
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
    keys.check()


class _Keys(NamedTuple):
    """How the key-encryption key is kept as the file says, and of which ``kind`` it is now.

    ``in_force``: ``""`` before the first start. ``boto3``: whether it is installed; ``None`` where
    nothing needs it.
    """

    kind: str
    aws_kms_key: str
    in_force: str
    boto3: bool | None

    def told(self) -> str:
        """In words."""
        said = f"of kind {self.kind}"
        said += f", {self.aws_kms_key}" if self.kind == "aws-kms" else ""
        if self.in_force not in ("", self.kind):
            said += f"; of kind {self.in_force} now, until affidavit keys rotate --to {self.kind}"
        if self.boto3 is None:
            return said
        return f"{said}; boto3 is {'installed' if self.boto3 else 'not installed'}"

    def check(self) -> None:
        """``UnavailableError`` if ``up`` would refuse for want of boto3."""
        from affidavit.app import aws_kms

        if (self.in_force or self.kind) == "aws-kms":
            aws_kms.require()


def _keys(loaded: "Config", directory: Path) -> _Keys:
    from affidavit.app import aws_kms, opening
    from affidavit.app.paths import Paths
    from affidavit.errors import AffidavitError, UnavailableError

    paths, in_force = Paths(directory), ""
    with contextlib.suppress(AffidavitError):  # doctor says what is wrong with it
        in_force = opening.key_file(paths).kind if paths.initialised else ""
    boto3 = None
    if "aws-kms" in (loaded.keys.kind, in_force):
        try:
            aws_kms.require()
            boto3 = True
        except UnavailableError:
            boto3 = False
    return _Keys(loaded.keys.kind, loaded.keys.aws_kms_key, in_force, boto3)

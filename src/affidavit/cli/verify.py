"""``affidavit verify``: checks evidence, offline, with the verifier that travels in it."""

import contextlib
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import options, output
from affidavit.errors import CheckFailedError, UsageError

_BEGIN = (b"PK", b"{", b"c2sp.org/tlog-proof@v1\n")
"""How all but a certificate begins."""
_ROTATED = (
    "Signed by a key of this log from before or after a rotation? Then give its policy, with all "
    "the keys it ever had: --policy log/log.policy, or a file with what affidavit log keys prints "
    "and the line quorum none. From outside, as a key is."
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("verify")(verify)


def verify(
    file: Annotated[
        Path | None, typer.Argument(help="A bundle, a .tlog-proof or a receipt.", metavar="FILE")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            help="Log keys, witnesses and a quorum (tlog-policy); from outside.",
            metavar="FILE",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", help="The log's verifier key, or a file of it; from outside.", metavar="VKEY"
        ),
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(
            "--manifest",
            help="What the export said its manifest is; another one is refused.",
            metavar="DIGEST",
        ),
    ] = None,
    leaf: Annotated[
        Path | None,
        typer.Option("--leaf", help="For a .tlog-proof: the file with the leaf.", metavar="FILE"),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Print verify.html, which checks bundles in a browser.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Check a bundle, a proof, a receipt or a certificate; no server, no network.

    Exit code 0 if all of it holds, 1 if something is refused or the policy's quorum is not met, 2
    without a policy or key from outside: what travels in a bundle is no reason to trust it. What
    nothing vouches for is said in the line Unchecked; the digest of the manifest, from the record
    of the export, narrows that down. Signatures that verify.py alone cannot check (ML-DSA-44, those
    of timestamps) are checked here.

    Example: affidavit verify evidence.zip --policy trust.policy
    """
    from affidavit.evidence import certificate
    from affidavit.evidence import verify as verifier
    from affidavit.evidence.tools import tools

    if html:
        sys.stdout.write(Path(verifier.__file__).with_name("verify.html").read_text("utf-8"))
        return
    if file is None or not file.is_file():
        raise UsageError(f"There is no file {file}." if file else "Name the file to check.")
    if policy is not None and key:
        raise UsageError("The policy names the log's keys.", hint="--policy or --key, not both.")
    with file.open("rb") as opened:
        begin = opened.read(certificate.MOST)
    if certificate.is_one(begin):
        raise typer.Exit(_certificate(file, policy, key or [], json=json))
    if not begin.startswith(_BEGIN):
        output.say(
            f"{file} does not begin like any of what is checked here: a bundle, which is a zip, a "
            ".tlog-proof, a receipt or a certificate. It may be another file than was meant."
        )
    arguments = [str(file)]
    if policy is not None:
        arguments += ["--policy", str(policy)]
    for one in key or []:
        arguments += ["--key", one]
    if manifest is not None:
        arguments += [f"--manifest={manifest}"]
    if leaf is not None:
        arguments += ["--leaf", str(leaf)]
    if json:
        arguments.append("--json")
    if json:
        raise typer.Exit(verifier.main(arguments, tools()))
    said, warned = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(warned):
        code = verifier.main(arguments, tools())
    output.folded(said.getvalue())
    sys.stdout.flush()
    sys.stderr.write(warned.getvalue())
    if said.getvalue().startswith("REFUSED  wrong-key"):
        output.say(_ROTATED)
    raise typer.Exit(code)


def _certificate(file: Path, policy: Path | None, keys: list[str], *, json: bool) -> int:
    """Check a certificate of erasure: 0 if a key from outside signed it, 2 without one."""
    from affidavit.evidence import certificate
    from affidavit.ledger.note import read_vkeys

    if policy is not None:
        raise UsageError(
            "A certificate is signed by a key of its own, which no policy names.",
            hint="--key VKEY, from outside; affidavit log keys shows it.",
        )
    known = []
    for one in keys:
        named = Path(one)
        known += read_vkeys(named.read_text(encoding="utf-8") if named.is_file() else one)
    try:
        opened = certificate.check(file.read_bytes(), known)
    except CheckFailedError as error:
        raise CheckFailedError(
            "The certificate is not signed by this key.",
            hint="It takes the key for certificates, not the log's: affidavit log keys shows it.",
        ) from error
    if json:
        lines: dict[str, list[str]] = {}
        for name, value in opened.lines:
            lines.setdefault(name, []).append(value)
        output.json_line({"certificate": lines, "signed_by": list(opened.keys)})
    else:
        for name, value in opened.lines:
            output.plain(f"{name}: {value}")
        signed = f"Signed by {', '.join(opened.keys)}."
        if not opened.keys:
            signed = "Self-consistent only: no key from outside was given, so nobody vouches."
        output.say(signed)
    return 0 if opened.keys else 2

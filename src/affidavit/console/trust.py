"""What this installation trusts when it judges its own evidence, as a verifier's policy.

Rules: the log's own keys with the sizes they count for (``log/log.policy``), the witnesses and the
quorum of the configured policy, the roots of the configured timestamp authority. A verdict under it
is what the operator of this installation would say; an auditor brings a policy of their own. What
cannot be read is left out, and the verdict then names fewer who vouch. Not here: the check
(``evidence.verify``), asking witnesses (``app``).
"""

from affidavit.config import Config
from affidavit.console.services import ConsoleServices
from affidavit.errors import ParseError
from affidavit.evidence import verify
from affidavit.ledger.signing import POLICY
from affidavit.ledger.timestamp import read_anchors


def policy(services: ConsoleServices) -> verify.Policy:
    """The policy of this installation, as of now."""
    known = services.snapshot()
    own = verify.read_keys([*(known.log_vkeys or (known.log_vkey,))])
    try:
        text = (services.data / "log" / POLICY).read_text(encoding="utf-8")
        own = verify.read_policy(text)
    except (OSError, ValueError, verify.WrongUse):
        pass  # not written yet: the keys in force are enough for what they signed
    found = _witnesses(services.config) or own
    return found._replace(
        logs=own.logs, authorities={**found.authorities, **_authorities(services.config)}
    )


def witnessed(config: Config) -> bool:
    """Whether witnesses are asked to cosign this log, so that waiting for them makes sense."""
    return config.witnesses.policy is not None


def _witnesses(config: Config) -> verify.Policy | None:
    if config.witnesses.policy is None:
        return None
    try:
        return verify.read_policy(config.witnesses.policy.read_text(encoding="utf-8"))
    except (OSError, ValueError, verify.WrongUse):
        return None


def _authorities(config: Config) -> dict[str, bytes]:
    """The configured roots by name."""
    if config.timestamps.ca_file is None:
        return {}
    try:
        roots = read_anchors(config.timestamps.ca_file.read_bytes())
    except (OSError, ParseError):
        return {}
    return {f"authority{number}": root for number, root in enumerate(roots, 1)}

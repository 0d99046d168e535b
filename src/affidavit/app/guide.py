"""What ``affidavit up`` prints when it is ready: the next commands, ready to copy."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any


def command() -> str:
    """How to call this program from the shell that started it."""
    beside = Path(sys.executable).with_name("affidavit")
    found = shutil.which("affidavit")
    if found and Path(found).resolve() == beside.resolve():
        return "affidavit"
    return shlex.quote(str(beside)) if beside.exists() else "affidavit"


def _anchors(facts: dict[str, Any]) -> list[str]:
    """What to add to the configuration, so that somebody outside vouches for the log."""
    config = shlex.quote(facts.get("config") or str(Path(facts["data"]) / "config.yaml"))
    return [
        "Nobody outside vouches for this log yet, so every verdict says: own key only. One of",
        f"these lines in {config} changes that (docs/operations.md, Anchors):",
        "  witnesses: {policy: /path/to/policy}",
        '  timestamps: {url: "https://authority.example/tsr", ca_file: /path/to/its-root.pem}',
        "  anchors: {copy_to: /mnt/another-disk}",
    ]


def _attack(me: str, *, demo: bool) -> list[str]:
    """The command that shows what tampering looks like; it attacks a demo of its own."""
    return ["What tampering looks like:", f"  {me} demo attack", ""] if demo else []


def _exports(me: str, data: str) -> str:
    """The line that makes commands short, as the other pages of the docs write them."""
    (program,) = shlex.split(me)
    found = [f'PATH={shlex.quote(str(Path(program).parent))}:"$PATH"'] if "/" in program else []
    return " ".join(["export", *found, f"AFFIDAVIT_DATA={shlex.quote(data)}"])


def unused(name: str, suffix: str) -> str:
    """A file name that does not exist here yet: ``evidence.zip``, ``evidence-2.zip``, ….

    So a command that is copied once more still does what it says.
    """
    number, found = 1, f"{name}{suffix}"
    while Path(found).exists():
        number += 1
        found = f"{name}-{number}{suffix}"
    return found


def guide(facts: dict[str, Any], *, demo: bool, first: bool) -> str:
    """The text; ``facts`` as ``--json`` gives them."""
    evidence = unused("evidence", ".zip")
    me = command()
    data = f" --data {shlex.quote(facts['data'])}"
    model = "demo-chat" if demo else "gpt-4o"
    key = facts["caller_key"]
    vkey = shlex.quote(facts["vkey"])
    lines = [
        "",
        f"Affidavit records on {facts['gateway']}, the console is {facts['console']}",
        f"Data: {facts['data']}   Owner key: {facts['owner_key_file']}",
    ]
    if demo:
        lines.append("This is the demo: answers are not from a real provider.")
    if facts["anchor_advice"]:
        lines += [facts["anchor_advice"]] if demo else ["", *_anchors(facts)]
    lines.append("")
    if key is None:
        lines += ["Make a key for a caller:", f"  {me} keys create my-app{data}", ""]
        key = "YOUR-KEY"
    elif first or demo:
        whose = "your first caller" if first else "a caller"
        lines += [f"A key for {whose} is below; it is shown once.", ""]
    lines += [
        "Send a prompt:",
        f"  curl -s -w '\\n' {facts['gateway']}/openai/v1/chat/completions \\",
        f"    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        "    -H 'affidavit-session: my-first-session' \\",
        f'    -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
        "",
        "Or point an SDK at it, unchanged:",
        f"  export OPENAI_BASE_URL={facts['gateway']}/openai/v1 OPENAI_API_KEY={key}",
        f"  export ANTHROPIC_BASE_URL={facts['gateway']}/anthropic ANTHROPIC_API_KEY={key}",
        "",
        "Ask, look, prove:",
        f"  {me} query 'model:{model} since:90d'{data}",
        f"  {me} query 'model:{model} since:90d'{data} --prove",
        f"  {me} show my-first-session{data}",
        f"  {me} export 'model:{model} since:90d' --content full -o {evidence}{data}",
        f"  {me} verify {evidence} --key {vkey}",
        "",
        "The same check by the verifier that is in the bundle, standard-library Python:",
        f"  unzip -p {evidence} verify.py > verify.py",
        f"  python3 -I verify.py {evidence} --key {vkey}",
        "",
        *_attack(me, demo=demo),
        "So that a shell needs neither path nor --data:",
        f"  {_exports(me, facts['data'])}",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)

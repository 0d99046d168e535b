"""How long after the end of a response a query lists its prompt and output.

    python bench/visible.py [--calls 60] > out.json

A demo installation, one call at a time; from the last byte at the caller's socket the console's
API is asked again and again for the call's session, until both records are there. The answer's own
time (an access record is made durable before each) is part of the figure.
"""

import argparse
import contextlib
import http.client
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode


@contextlib.contextmanager
def demo(directory: Path) -> Iterator[dict[str, Any]]:
    """A demo installation; what ``up --json`` says of it."""
    words = ["up", "--demo", "--data", str(directory / "data"), "--json"]
    words += ["--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
    process = subprocess.Popen([sys.executable, "-m", "affidavit", *words], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        facts: dict[str, Any] = json.loads(process.stdout.readline())
        yield facts
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def connect(url: str) -> http.client.HTTPConnection:
    """A connection to ``http://host:port``."""
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)


def ask(console: http.client.HTTPConnection, key: str, session: str) -> int:
    """Number of records of the session, as the API lists them."""
    headers = {"Authorization": f"Bearer {key}"}
    console.request(
        "GET",
        "/api/query?" + urlencode({"expression": f"session:{session}", "view": "records"}),
        None,
        headers,
    )
    answer = console.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 200, body
    return len(body["rows"])


def main() -> None:
    """Measure and print JSON: seconds, median, p99 and worst, whole and streamed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60)
    options = parser.parse_args()
    result: dict[str, Any] = {"bench": "visible", "calls": options.calls}
    with tempfile.TemporaryDirectory() as name, demo(Path(name)) as facts:
        key = Path(facts["owner_key_file"]).read_text().strip()
        gateway, console = connect(facts["gateway"]), connect(facts["console"])
        for streamed in (False, True):
            times = []
            for number in range(options.calls):
                session = f"visible-{streamed}-{number}"
                body = {
                    "model": "demo-chat",
                    "stream": streamed,
                    "messages": [{"role": "user", "content": f"visible number {number}"}],
                }
                headers = {
                    "Authorization": f"Bearer {facts['caller_key']}",
                    "Content-Type": "application/json",
                    "affidavit-session": session,
                }
                gateway.request("POST", "/openai/v1/chat/completions", json.dumps(body), headers)
                answer = gateway.getresponse()
                answer.read()
                ended = time.monotonic()
                assert answer.status == 200
                while ask(console, key, session) < 2:
                    time.sleep(0.005)
                times.append(time.monotonic() - ended)
            times.sort()
            result["streamed" if streamed else "whole"] = {
                "p50_s": round(statistics.median(times), 4),
                "p99_s": round(times[int(len(times) * 0.99) - 1], 4),
                "worst_s": round(times[-1], 4),
            }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

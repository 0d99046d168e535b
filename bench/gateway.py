"""An audited exchange beside a plain reverse proxy and another gateway, in one run.

    python bench/gateway.py [--seconds 8] [--connections 32] [--litellm PROGRAM] > out.json

Every contender stands in front of the same provider (nginx answering from memory; for streams a
small asyncio server that sends 20 events) on this machine and is asked by the same loader:
whole answers by wrk, streams by the client below. CPU is user and system time of a contender's
own processes from /proc, per request. Missing programs (nginx, wrk, litellm given by --litellm)
are named as not measured. Figures are ratios within this run and nothing more.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REQUEST = {
    "model": "bench-1",
    "messages": [
        {"role": "system", "content": "You answer briefly. " * 8},
        {"role": "user", "content": "Tell me about the sea. " * 30},
    ],
}
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1,
    "model": "bench-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The sea is wide and deep. " * 45},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 150, "completion_tokens": 200, "total_tokens": 350},
}
EVENTS = 20
PATH = "/v1/chat/completions"
LITELLM_KEY = "sk-bench-0123456789abcdef0123456789abcdef"


def say(text: str) -> None:
    """For people, beside the JSON."""
    print(text, file=sys.stderr, flush=True)


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / ticks


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found, pending = [], [pid]
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    while pending:
        one = pending.pop()
        found.append(one)
        pending += parents.get(one, [])
    return found


def wait_port(port: int, within: float = 60.0) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + within
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > until:
            raise SystemExit(f"nothing listens on port {port}")
        time.sleep(0.1)


@contextlib.contextmanager
def nginx(directory: Path, name: str, server: str) -> Iterator[tuple[int, int]]:
    """One nginx worker with ``server`` as the body of its server block; (port, pid)."""
    port = free_port()
    home = directory / name
    home.mkdir()
    (home / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log crit;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {home}/b;\n"
        f"proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u;\n"
        f"scgi_temp_path {home}/s; client_body_buffer_size 64k;\n"
        f"{server.replace('LISTEN', f'listen 127.0.0.1:{port} backlog=4096;')} }}\n"
    )
    process = subprocess.Popen(
        ["nginx", "-p", str(home), "-c", str(home / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        wait_port(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def provider_block() -> str:
    """A provider that answers every chat with the same 1.5 KB."""
    body = json.dumps(ANSWER).replace("'", "")
    return (
        "server { LISTEN default_type application/json; keepalive_timeout 600s;"
        f" location / {{ return 200 '{body}'; }} }}"
    )


def proxy_block(whole: int, streamed: int) -> str:
    """A plain reverse proxy: /whole to one provider, /streamed to the other."""
    return (
        f"upstream w {{ server 127.0.0.1:{whole}; keepalive 256; }}"
        f"upstream s {{ server 127.0.0.1:{streamed}; keepalive 256; }}"
        "server { LISTEN proxy_http_version 1.1; proxy_set_header Connection '';"
        " location /whole/ { proxy_pass http://w/; }"
        " location /streamed/ { proxy_buffering off; proxy_pass http://s/; } }"
    )


STREAMER = """
import asyncio, json, sys
EVENTS = int(sys.argv[2])
def event(delta, reason):
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench-1",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    data = b"data: " + json.dumps(body).encode() + b"\\n\\n"
    return b"%x\\r\\n%b\\r\\n" % (len(data), data)
HEAD = (b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n"
        b"transfer-encoding: chunked\\r\\n\\r\\n")
PIECES = [event({"content": "The sea is wide. "}, None)] * EVENTS
END = event({}, "stop") + b"e\\r\\ndata: [DONE]\\n\\n\\r\\n0\\r\\n\\r\\n"
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\\r\\n")[0])
            await reader.readexactly(length)
            writer.write(HEAD)
            for piece in PIECES:
                await asyncio.sleep(0.01)
                writer.write(piece)
            await asyncio.sleep(0.01)
            writer.write(END)
            await writer.drain()
    except (OSError, IndexError, asyncio.IncompleteReadError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()
import uvloop
uvloop.run(main())
"""


@contextlib.contextmanager
def streamer() -> Iterator[int]:
    """The provider of streams, in a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", STREAMER, str(port), str(EVENTS)])
    try:
        wait_port(port)
        yield port
    finally:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def affidavit(directory: Path, whole: int, streamed: int) -> Iterator[dict[str, Any]]:
    """The whole of Affidavit with one gateway worker; facts of its start and its processes."""
    config = directory / "config.yaml"
    config.write_text(
        "providers:\n"
        f"  whole: {{dialect: openai, base_url: http://127.0.0.1:{whole}, secret: bench}}\n"
        f"  streamed: {{dialect: openai, base_url: http://127.0.0.1:{streamed}, secret: bench}}\n"
    )
    words = ["up", "--data", str(directory / "data"), "--config", str(config), "--json"]
    words += ["--workers", "1", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
    process = subprocess.Popen([sys.executable, "-m", "affidavit", *words], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        facts: dict[str, Any] = json.loads(process.stdout.readline())
        groups: dict[str, list[int]] = {}
        for pid in descendants(process.pid)[1:]:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"affidavit.app" in line:
                name = line[line.index(b"affidavit.app") + 1].decode()
                groups.setdefault(name, []).append(pid)
        facts["groups"] = groups
        yield facts
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def drained(console: str) -> None:
    """Wait until the index takes in nothing new for a second: all that was recorded is in it."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 1.0:
        with urllib.request.urlopen(f"{console}/metrics", timeout=30) as answer:
            found = re.search(r"affidavit_index_leaves (\d+)", answer.read().decode())
        size = int(found[1]) if found else -1
        if size != last:
            last, since = size, time.monotonic()
        time.sleep(0.1)


@contextlib.contextmanager
def litellm(directory: Path, program: str, whole: int, streamed: int) -> Iterator[tuple[int, int]]:
    """LiteLLM's proxy without any logging; (port, pid)."""
    port = free_port()
    config = directory / "litellm.yaml"
    entry = (
        "  - model_name: {0}\n    litellm_params: {{model: openai/bench-1, api_key: x,"
        " api_base: 'http://127.0.0.1:{1}/v1'}}\n"
    )
    config.write_text("model_list:\n" + entry.format("w", whole) + entry.format("s", streamed))
    process = subprocess.Popen(
        [program, "--config", str(config), "--port", str(port), "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_MASTER_KEY": LITELLM_KEY,
        },
        start_new_session=True,
    )
    try:
        wait_port(port, 180)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def run_wrk(
    directory: Path, url: str, key: str, body: dict[str, Any], seconds: int, connections: int
) -> dict[str, float]:
    """Whole answers: requests per second, p50 and p99 in milliseconds, errors."""
    script = directory / "post.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        f"wrk.body = [==[{json.dumps(body)}]==]\n"
        'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {key}"\n'
        "done = function(summary, latency, requests)\n"
        '  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests,'
        " summary.duration, latency:percentile(50), latency:percentile(99),"
        " summary.errors.status + summary.errors.connect + summary.errors.read))\nend\n"
    )
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", out)
    assert found is not None, out
    requests, duration, p50, p99, errors = (int(text) for text in found.groups())
    return {
        "requests": requests,
        "per_second": requests / (duration / 1e6),
        "p50_ms": p50 / 1000,
        "p99_ms": p99 / 1000,
        "errors": errors,
    }


async def run_streams(
    url: str, key: str, body: dict[str, Any], seconds: float, connections: int
) -> dict[str, float]:
    """Streams: per second, time to the first byte of the body and to the end, errors."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    data = json.dumps(body).encode()
    request = (
        f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data
    first: list[float] = []
    whole: list[float] = []
    errors = 0
    until = time.monotonic() + seconds

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(name, int(port))
        while time.monotonic() < until:
            began = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                errors += 1
                break
            got = await reader.read(65536)
            first.append(time.monotonic() - began)
            while not got.endswith(b"0\r\n\r\n"):
                piece = await reader.read(65536)
                if not piece:
                    errors += 1
                    break
                got = (got + piece)[-64:]
            whole.append(time.monotonic() - began)
        writer.close()

    began = time.monotonic()
    done = await asyncio.gather(*(client() for _ in range(connections)), return_exceptions=True)
    errors += sum(1 for item in done if item is not None)
    took = time.monotonic() - began
    if len(whole) < 2:
        return {"requests": len(whole), "errors": errors}
    return {
        "requests": len(whole),
        "per_second": len(whole) / took,
        "first_byte_p50_ms": 1000 * statistics.median(first),
        "first_byte_p99_ms": 1000 * statistics.quantiles(first, n=100)[98],
        "p50_ms": 1000 * statistics.median(whole),
        "p99_ms": 1000 * statistics.quantiles(whole, n=100)[98],
        "errors": errors,
    }


class Bench:
    """One run over all contenders."""

    def __init__(self, directory: Path, seconds: int, connections: int) -> None:
        self.directory = directory
        self.seconds = seconds
        self.connections = connections
        self.results: dict[str, dict[str, Any]] = {}

    def contender(
        self,
        name: str,
        base: dict[str, str],
        models: dict[str, str],
        key: str,
        groups: dict[str, list[int]],
        settle: Callable[[], None] = lambda: time.sleep(0.5),
    ) -> None:
        """Measure whole answers and streams; CPU per request of each group of processes.

        ``settle`` waits until what was asked for has been worked off.
        """
        result: dict[str, Any] = {}
        for kind in ("whole", "streamed"):
            body = {**REQUEST, "model": models[kind], "stream": kind == "streamed"}
            for warm in (True, False):
                seconds = 2 if warm else self.seconds
                before = {group: cpu_seconds(pids) for group, pids in groups.items()}
                if kind == "whole":
                    got = run_wrk(self.directory, base[kind], key, body, seconds, self.connections)
                else:
                    got = asyncio.run(run_streams(base[kind], key, body, seconds, self.connections))
                settle()
                if not warm:
                    got["cpu_us"] = {
                        group: round(1e6 * (cpu_seconds(pids) - before[group]) / got["requests"], 1)
                        for group, pids in groups.items()
                        if got["requests"]
                    }
            result[kind] = got
        self.results[name] = result


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--litellm", default=shutil.which("litellm") or "")
    options = parser.parse_args()
    for program in ("nginx", "wrk"):
        if shutil.which(program) is None:
            say(f"not measured: {program} is not installed")
            print("{}")
            return
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_fast())))
        whole, _ = stack.enter_context(nginx(directory, "provider", provider_block()))
        streamed = stack.enter_context(streamer())
        bench = Bench(directory, options.seconds, options.connections)
        names = {"whole": "bench-1", "streamed": "bench-1"}
        with nginx(directory, "proxy", proxy_block(whole, streamed)) as (port, pid):
            base = {k: f"http://127.0.0.1:{port}/{k}{PATH}" for k in names}
            bench.contender("nginx", base, names, "x", {"proxy": descendants(pid)})
        with affidavit(directory, whole, streamed) as facts:
            base = {k: f"{facts['gateway']}/{k}{PATH}" for k in names}
            bench.contender(
                "affidavit", base, names, facts["caller_key"], facts["groups"],
                lambda: drained(facts["console"]),
            )  # fmt: skip
        if options.litellm:
            with litellm(directory, options.litellm, whole, streamed) as (port, pid):
                base = dict.fromkeys(names, f"http://127.0.0.1:{port}{PATH}")
                groups = {"proxy": descendants(pid)}
                models = {"whole": "w", "streamed": "s"}
                bench.contender("litellm", base, models, LITELLM_KEY, groups)
        else:
            say("not measured: litellm (give its program with --litellm)")
    show(bench.results)
    print(json.dumps(bench.results, indent=1))


def show(results: dict[str, dict[str, Any]]) -> None:
    """The table, with ratios to nginx in the same run."""
    say(
        f"{'contender':<10} {'kind':<9} {'req/s':>8} {'/nginx':>7} {'p50 ms':>8} {'p99 ms':>8}"
        f" {'first p50':>9} {'errors':>6}  CPU µs per request"
    )
    for kind in ("whole", "streamed"):
        reference = results["nginx"][kind]["per_second"]
        for name, result in results.items():
            got = result[kind]
            rate = got.get("per_second", 0.0)
            say(
                f"{name:<10} {kind:<9} {rate:8.0f} {rate / reference:7.3f}"
                f" {got.get('p50_ms', 0):8.2f} {got.get('p99_ms', 0):8.2f}"
                f" {got.get('first_byte_p50_ms', 0):9.2f} {got['errors']:6.0f}  {got.get('cpu_us')}"
            )


def _fast() -> str | None:
    return os.environ.get("AFFIDAVIT_BENCH_DIR")


if __name__ == "__main__":
    main()

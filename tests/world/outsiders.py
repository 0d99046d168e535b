"""Witnesses and timestamp authorities over real sockets that do what a test wants of them."""

import base64
import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from affidavit.errors import CheckFailedError, ParseError
from affidavit.ledger import merkle, note
from tests.world.timestamp_authority import Authority

Answer = tuple[int, bytes]


class Server:
    """An HTTP server on this machine; ``answer`` makes an answer of each body.

    ``script`` answers instead while it is set; ``asked`` holds the bodies, ``paths`` their paths.
    """

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.asked.append(body)
                outer.paths.append(self.path)
                status, data = (outer.script or outer.answer)(body)
                with suppress(OSError):
                    self.send_response(status)
                    if 300 <= status < 400:
                        self.send_header("location", outer.url + "/elsewhere")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def do_GET(self) -> None:
                status, data = outer.shown(self.path)
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self.asked: list[bytes] = []
        self.paths: list[str] = []
        self.script: Callable[[bytes], Answer] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def answer(self, body: bytes) -> Answer:
        """What it answers on its own."""
        raise NotImplementedError

    def shown(self, path: str) -> Answer:
        """What it shows to whoever reads."""
        del path
        return 404, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ScriptedWitness(Server):
    """A witness of one log, by C2SP tlog-witness; ``size`` and ``root`` are what it has seen.

    ``moment`` is the time it gives, far ahead of every log's; ``note`` is the one it shows, the
    newest it cosigned.
    """

    def __init__(self, log: note.Verifier, name: str = "w1", kind: int = note.COSIGNATURE) -> None:
        super().__init__()
        seed = name.encode().ljust(32, b"\0")
        self.name = name
        self.cosigner = note.Cosigner(f"{name}.example", kind, seed)
        self.keys = [log]
        self.size, self.root = 0, merkle.EMPTY_ROOT
        self.moment = 4_000_000_000
        self.note = b""

    def policy_line(self) -> str:
        """Its line in a policy."""
        return f"witness {self.name} {self.cosigner.vkey} {self.url}/"

    def answer(self, body: bytes) -> Answer:
        """Check and cosign, or say why not."""
        head, _, data = body.partition(b"\n\n")
        first, *hashes = head.decode().split("\n")
        old = int(first.removeprefix("old "))
        try:
            checkpoint = note.open_checkpoint(data, self.keys)
        except (CheckFailedError, ParseError):
            same = note.open_checkpoint(data, None).origin == self.keys[0].name
            return (403 if same else 404), b""
        if old != self.size:
            return 409, f"{self.size}\n".encode()
        proof = [base64.b64decode(one) for one in hashes]
        try:
            if old == checkpoint.size:
                if proof or checkpoint.root != self.root:
                    return 422, b""
            elif old:
                merkle.verify_consistency(old, checkpoint.size, self.root, checkpoint.root, proof)
        except CheckFailedError:
            return 422, b""
        self.size, self.root = checkpoint.size, checkpoint.root
        line = self.cosigner.cosign(checkpoint.text(), self.moment).encode()
        self.note = data + line
        return 200, line

    def shown(self, path: str) -> Answer:
        """The newest note it cosigned, where tlog-witness says."""
        name = hashlib.sha256(self.keys[0].name.encode()).hexdigest()
        return (200, self.note) if path == f"/{name}/checkpoint" and self.note else (404, b"")


class ScriptedAuthority(Server):
    """A timestamp authority: ``authority`` behind HTTP."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.authority = authority

    def answer(self, body: bytes) -> Answer:
        """A timestamp."""
        return 200, self.authority.answer(body)

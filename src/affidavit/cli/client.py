"""Talking to a console: by its address with a key, or by the socket in a data directory.

Rules: a plain HTTP/1.1 client of the standard library; the key comes from the environment
(``AFFIDAVIT_KEY``), since an argument can be read by others; an error answer becomes the error
it was there. The system's proxy settings are not looked at. Not here: what is asked and how it
is shown.
"""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from affidavit import __version__
from affidavit import errors as known
from affidavit.errors import (
    AffidavitError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)

DEFAULT_DATA = Path("affidavit-data")
TIMEOUT = 120.0
"""Seconds without a byte after which an answer is given up; a tail hears something every 15."""


_NO_PROVIDER = "There is no provider of that name here."
"""What a gateway says to a path of the console's."""


def is_demo(directory: Path) -> bool:
    """Whether a data directory is the demo's: its configuration is written by ``up --demo``."""
    try:
        return "${AFFIDAVIT_DEMO_URL}" in (directory / "config.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            self.sock = None
            raise


class Client:
    """One console. ``url`` wins over ``data``; with neither, the default data directory.

    ``timeout``: seconds without a byte after which an answer is given up.
    """

    def __init__(self, data: Path | None, url: str | None, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._data = data or Path(os.environ.get("AFFIDAVIT_DATA", DEFAULT_DATA))
        self._url = url or os.environ.get("AFFIDAVIT_URL", "")
        self._key = os.environ.get("AFFIDAVIT_KEY", "")
        if self._url and not self._key:
            self._reach()
            raise RefusedError(
                f"{self._url} asks for a key.", hint="export AFFIDAVIT_KEY=… (an owner or reader)"
            )

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """Ask; ``None`` among the parameters is left out."""
        return self._json("GET", path + _query(query), None)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Send ``body`` as JSON."""
        return self._json("POST", path, body)

    def put(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Put ``body`` as JSON in a place."""
        return self._json("PUT", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        """Take something away."""
        return self._json("DELETE", path, None)

    def download(self, path: str, body: Mapping[str, object]) -> tuple[bytes, Mapping[str, str]]:
        """Send ``body`` as JSON; returns the bytes and the headers (lower case) of the answer."""
        return self._bytes("POST", path, body)

    def fetch(self, path: str, **query: object) -> tuple[bytes, Mapping[str, str]]:
        """Ask as ``get`` does for what is no JSON; returns as ``download``."""
        return self._bytes("GET", path + _query(query), None)

    def _bytes(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> tuple[bytes, Mapping[str, str]]:
        connection, response = self._open(method, path, body)
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()
        return data, {name.lower(): value for name, value in response.getheaders()}

    def events(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """The data of each server-sent event, until the other side ends; asked on return.

        An event ``error`` is raised as the error it was there.
        """
        connection, response = self._open("GET", path + _query(query), None)
        return self._follow(connection, response)

    def _follow(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> Iterator[dict[str, Any]]:
        failed = False
        try:
            for line in response:
                failed = failed or line.rstrip() == b"event: error"
                if line.startswith(b"data: "):
                    if failed:
                        raise _revived(response.status, line[6:])
                    yield json.loads(line[6:])
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._gone(error) from error
        finally:
            response.close()
            connection.close()

    def _json(self, method: str, path: str, body: Mapping[str, object] | None) -> dict[str, Any]:
        connection, response = self._open(method, path, body)
        try:
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._gone(error) from error
        finally:
            connection.close()
        return answer

    def _open(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        headers = {"user-agent": f"affidavit/{__version__}", "accept": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise self._error(response)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._gone(error) from error
        except AffidavitError:
            connection.close()
            raise
        return connection, response

    def _error(self, response: http.client.HTTPResponse) -> AffidavitError:
        """The error that an answer stands for, and what this side knows about its cause."""
        error = _revived(response.status, response.read(1 << 20))
        if self._url and isinstance(error, NotFoundError) and error.message == _NO_PROVIDER:
            return UsageError(
                f"{self._url} is a gateway, which answers callers; questions go to the console.",
                hint="Its address is printed at the start; the default is http://127.0.0.1:8788",
            )
        if self._key and not self._url and isinstance(error, RefusedError):
            error.hint = f"{error.hint}\n  AFFIDAVIT_KEY is set, so its key was used.".strip()
        return error

    def _reach(self) -> None:
        """``UnavailableError`` unless something listens at the address."""
        connection = self._connection()
        try:
            connection.connect()
        except OSError as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._url:
            return _SocketConnection(self._data / "run" / "console.sock", self._timeout)
        parts = urlsplit(self._url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise UsageError(f"{self._url!r} is not http://HOST:PORT.", hint="--url or --data")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            parts.hostname, port, timeout=self._timeout, context=context
        )

    def _gone(self, error: Exception) -> UnavailableError:
        if self._url:
            where, start = self._url, "Is its address right, and does it run?"
        else:
            where = f"{self._data}"
            if (self._data / "drill").exists():
                return UnavailableError(
                    f"{where} was restored with --drill: it cannot be asked, as each read is a"
                    " record of its log, which goes on elsewhere.",
                    hint=f"To see that all of it can be read: affidavit fsck --deep --data {where}",
                )
            demo = " --demo" if is_demo(self._data) else ""
            start = f"Start it: affidavit up{demo} --data {self._data}"
            if not self._data.exists():
                other = "affidavit-demo" if is_demo(Path("affidavit-demo")) else "its directory"
                start += f" (if another one runs, give {other} with --data)"
        reason = getattr(error, "strerror", None) or type(error).__name__
        return UnavailableError(f"No console answers for {where} ({reason}).", hint=start)


def _query(parameters: Mapping[str, object]) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _revived(status: int, body: bytes) -> AffidavitError:
    """The error that an answer stands for, by its code."""
    try:
        told = json.loads(body)["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return UnavailableError(f"The console answered with status {status}.")
    kinds = {kind.code: kind for kind in vars(known).values() if _is_error(kind)}
    rest = {k: v for k, v in told.items() if k not in ("code", "message", "hint", "kept")}
    kind: type[AffidavitError] = kinds.get(code, UnavailableError)
    return kind(message, hint=str(told.get("hint", "")), kept=str(told.get("kept", "")), **rest)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, AffidavitError)

"""A KMS on a socket: as much of AWS's JSON 1.1 protocol as encrypting and decrypting takes.

``Kms`` checks what AWS checks: which key, the encryption context, whether the ciphertext is its
own. What it does instead of answering is set in ``mood``.
"""

import base64
import json
import os
import socket
import threading
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{:012d}"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-not-a-secret",
    "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_DEFAULT_REGION": "eu-central-1",
}  # fmt: skip


class Kms:
    """Keys by ARN; the socket is open inside ``with``. ``asked``: operations, in order.

    ``mood``: ``""`` to answer; ``close`` or ``silent``; a status (``500``); or an error code, for
    which ``moods`` operations are answered so and those after them well.
    """

    def __init__(self, keys: int = 2) -> None:
        self.keys = {ARN.format(number): AESGCM.generate_key(256) for number in range(keys)}
        self.disabled: set[str] = set()
        self.asked: list[str] = []
        self.mood = ""
        self.moods = 1_000
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to have to find it."""
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL_KMS": url, "NO_PROXY": "127.0.0.1"}

    @property
    def arns(self) -> list[str]:
        """The keys' names."""
        return list(self.keys)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._alone, args=(connection,), daemon=True).start()

    def _alone(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := connection.recv(65_536)):
                return
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(
            line.split(": ", 1) for line in head.decode("latin-1").lower().split("\r\n")[1:]
        )
        while len(body) < int(fields["content-length"]):
            body += connection.recv(65_536)
        operation = fields["x-amz-target"].rpartition(".")[2]
        self.asked.append(operation)
        status, answer = self._answer(operation, json.loads(body), fields)
        if status == 0:
            if self.mood == "silent":
                self._stop.wait(3)
            return
        text = json.dumps(answer).encode()
        connection.sendall(
            f"HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\n"
            f"content-length: {len(text)}\r\nconnection: close\r\n\r\n".encode()
            + text
        )

    def _answer(
        self, operation: str, asked: dict[str, Any], fields: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        assert "aws4-hmac-sha256 credential=akidexample/" in fields["authorization"]
        mood, self.moods = self.mood if self.moods > 0 else "", self.moods - 1
        if mood in ("close", "silent"):
            return 0, {}
        if mood:
            return (int(mood), {}) if mood.isdigit() else _error(mood)
        arn = asked["KeyId"]
        if arn not in self.keys:
            return _error("NotFoundException")
        if arn in self.disabled:
            return _error("DisabledException")
        aead, context = AESGCM(self.keys[arn]), json.dumps(asked["EncryptionContext"]).encode()
        if operation == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + aead.encrypt(nonce, base64.b64decode(asked["Plaintext"]), context)
            return 200, {"KeyId": arn, "CiphertextBlob": base64.b64encode(sealed).decode()}
        sealed = base64.b64decode(asked["CiphertextBlob"])
        try:
            plain = aead.decrypt(sealed[:12], sealed[12:], context)
        except (InvalidTag, ValueError):
            return _error("InvalidCiphertextException")
        return 200, {"KeyId": arn, "Plaintext": base64.b64encode(plain).decode()}


def _error(code: str) -> tuple[int, dict[str, Any]]:
    return 400, {"__type": code, "message": "told by a test"}

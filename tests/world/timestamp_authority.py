"""A timestamp authority on this machine: ``openssl ts`` with certificates made here.

Variants are what a token can be wrong by: another root, a certificate that is not for timestamping
or was not valid, an authority that sends its chain in an order that DER does not have.
"""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIG = """\
[tsa]
default_tsa = tsa1
[tsa1]
serial = {d}/serial
crypto_device = builtin
signer_cert = {d}/tsa.pem
signer_key = {d}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_alg = sha256
{more}
"""
TIME_STAMPING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
_DAY = timedelta(days=1)


class Authority:
    """An authority that keeps its files in ``directory``; ``root`` is its root's DER.

    ``name`` is its root's. ``chain``: send the root along. ``valid``: days from now in which its
    certificate is valid.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "Test root",
        chain: bool = False,
        valid: tuple[int, int] = (-1, 3650),
    ) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        now = datetime.now(UTC)
        self._root_key = ed25519.Ed25519PrivateKey.generate()  # signatures of one length
        key = ec.generate_private_key(ec.SECP256R1())
        above, own = _name(name), _name("Test authority")
        root = (
            x509.CertificateBuilder(above, above, self._root_key.public_key(), 1)
            .not_valid_before(now - 4000 * _DAY)
            .not_valid_after(now + 4000 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._root_key, None)
        )
        self._builder = (
            x509.CertificateBuilder(above, own, key.public_key(), 2)
            .not_valid_before(now + valid[0] * _DAY)
            .not_valid_after(now + valid[1] * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        certificate = self._certificate(TIME_STAMPING)
        self.root = root.public_bytes(Encoding.DER)
        self.root_pem = directory / "root.pem"
        self.root_pem.write_bytes(root.public_bytes(Encoding.PEM))
        (directory / "tsa.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "tsa.key").write_bytes(private)
        (directory / "serial").write_text("01\n")
        more = f"certs = {self.root_pem}" if chain else ""
        (directory / "tsa.cnf").write_text(_CONFIG.format(d=directory, more=more))

    def _certificate(self, extension: x509.ExtensionType) -> x509.Certificate:
        critical = isinstance(extension, x509.ExtendedKeyUsage)
        return self._builder.add_extension(extension, critical).sign(self._root_key, None)

    def with_another_purpose(self, answer: bytes, extension: x509.ExtensionType) -> bytes:
        """The answer with ``extension`` instead of timestamping in its certificate.

        OpenSSL signs no token with such a certificate, so it is put in afterwards: same key, same
        number, same length.
        """
        good, bad = (
            self._certificate(one).public_bytes(Encoding.DER) for one in (TIME_STAMPING, extension)
        )
        assert len(good) == len(bad)
        assert good in answer
        return answer.replace(good, bad)

    def answer(self, query: bytes) -> bytes:
        """What ``openssl ts`` answers to a TimeStampReq."""
        asked, answered = self._directory / "query", self._directory / "answer"
        asked.write_bytes(query)
        answered.unlink(missing_ok=True)
        config = str(self._directory / "tsa.cnf")
        _openssl("-reply", "-config", config, "-queryfile", str(asked), "-out", str(answered))
        return answered.read_bytes()

    def accepts(self, answer: bytes, note: bytes) -> bool:
        """Whether ``openssl ts -verify`` accepts an answer over ``note`` under this root."""
        data, answered = self._directory / "data", self._directory / "stored"
        data.write_bytes(note)
        answered.write_bytes(answer)
        ran = _openssl(
            "-verify", "-data", str(data), "-in", str(answered), "-CAfile", str(self.root_pem)
        )
        return ran.returncode == 0


def asked_by_openssl(directory: Path, note: bytes) -> bytes:
    """A TimeStampReq over ``note`` by ``openssl ts``, with a nonce, wanting the certificate."""
    data, query = directory / "note", directory / "openssl.tsq"
    data.write_bytes(note)
    _openssl("-query", "-data", str(data), "-sha256", "-cert", "-out", str(query))
    return query.read_bytes()


def described_by_openssl(directory: Path, query: bytes) -> str:
    """A TimeStampReq in OpenSSL's words."""
    path = directory / "described.tsq"
    path.write_bytes(query)
    return _openssl("-query", "-in", str(path), "-text").stdout


def _openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", "ts", *arguments], capture_output=True, text=True, check=False
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

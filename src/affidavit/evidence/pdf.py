"""A bundle's report as PDF, printed by a Chromium that is there already.

Rules: printed is the report of the bundle and nothing else; the browser has no network, keeps
its sandbox, a profile that is thrown away, and so many seconds; the page's own policy lets it run
no script. Run by root it gets
another user, since a browser of root has no sandbox. It sees no environment but where programs,
fonts and languages are. What is printed is in clear for so long, in a directory of its own that
nobody else may read. Not here: how the report looks (``report_page``), and where the PDF is put.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from affidavit.durable import Disk
from affidavit.errors import CheckFailedError, UnavailableError
from affidavit.evidence import verify

BROWSER = "AFFIDAVIT_BROWSER"
"""The environment variable that names the browser; else it is looked for on the PATH."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120
"""A report takes a few; one of thousands of records and pages, more."""

FLAGS = (
    "--headless", "--disable-gpu", "--no-first-run", "--no-default-browser-check",
    "--disable-extensions", "--disable-sync", "--disable-background-networking",
    "--disable-component-update", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9",
)  # fmt: skip
"""No window, nothing of one's own, and no network."""
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "FONTCONFIG_PATH", "FONTCONFIG_FILE", "XDG_DATA_DIRS")


def report_of(data: bytes) -> bytes:
    """The report in a bundle; ``CheckFailedError`` if it is no bundle, or not its report."""
    try:
        members = verify.read_zip(data)
        verify.read_manifest(members)
    except verify.Refused as refused:
        raise CheckFailedError(
            f"This is no whole bundle: {refused.sentence}",
            hint="affidavit verify FILE says what is wrong with it.",
            refused=refused.name,
        ) from refused
    return bytes(members["report.html"])


def browser() -> str:
    """The browser that is there; ``UnavailableError`` if none is."""
    named = os.environ.get(BROWSER, "")
    for name in (named,) if named else NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise UnavailableError(
        f"There is no browser {named}." if named else "There is no Chromium to print a PDF with.",
        hint=f"Install Chromium, or say where it is in {BROWSER}. The report itself, report.html "
        "in the bundle, prints from any browser.",
    )


def printed(page: bytes, program: str, seconds: float = SECONDS) -> bytes:
    """The PDF of a page; ``UnavailableError`` if the browser does not give one in time."""
    disk = Disk()
    with tempfile.TemporaryDirectory(prefix="affidavit-report-") as name:
        root = Path(name)
        disk.write_file(root / "report.html", page)
        owner = None
        if os.geteuid() == 0:
            owner = _another()
            for path in (root, root / "report.html"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        arguments = [
            program, *FLAGS, "--no-pdf-header-footer", f"--user-data-dir={root / 'profile'}",
            f"--print-to-pdf={root / 'report.pdf'}", (root / "report.html").as_uri(),
        ]  # fmt: skip
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        running = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=root, env={**kept, "HOME": name, "TMPDIR": name},
            start_new_session=True, user=owner and owner.pw_uid, group=owner and owner.pw_gid,
            extra_groups=[] if owner else None,
        )  # fmt: skip
        try:
            code: int | None = running.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(running)
        made = root / "report.pdf"
        if code is None:
            raise UnavailableError(
                f"{program} did not print the report within {seconds:g} seconds."
            )
        data = made.read_bytes() if made.is_file() else b""
    if code or not data.startswith(b"%PDF-"):
        raise UnavailableError(
            f"{program} did not print the report (exit code {code}).",
            hint="It needs its sandbox: user namespaces have to be allowed on this machine.",
        )
    return data


def _another() -> pwd.struct_passwd:
    """The user as whom root lets a browser run."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise UnavailableError(
            "A browser is not run as root, and there is no user nobody to run it as."
        ) from error


def _end(running: "subprocess.Popen[bytes]") -> None:
    """Stop the browser and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()

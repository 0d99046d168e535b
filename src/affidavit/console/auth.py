"""Who is reading: a bearer key, the local socket, or a session of the status page.

Rules: the API takes a key (``Authorization: Bearer``) or the local socket, never a cookie, so no
other site's page can act through it; the page takes its session cookie, never a key in the URL.
A session holds no key, ends after eight hours or with the process, and is worthless the moment
its identity is revoked. A ``caller`` key reads nothing, a ``monitor`` key leaves and links alone.
Every way in counts against the reader's limits (``limits``), but for a monitor's reads of the log;
a wrong key counts against its address. Not here: what a reader may see (``query.boundary``) and the
record of a refusal (``access``).
"""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from starlette.requests import HTTPConnection

from affidavit import ids
from affidavit.console.services import ConsoleServices, working_for
from affidavit.control.identity import (
    ADMINISTRATE,
    MONITOR,
    OWNER,
    READERS,
    REPORTERS,
    Identity,
    presented_key,
)
from affidavit.errors import RefusedError, UnauthenticatedError
from affidavit.query.boundary import Boundary, nothing
from affidavit.query.named import boundary_of

SESSION_COOKIE = "affidavit_session"
SESSION_SECONDS = 8 * 3600.0
_MAX_SESSIONS, _MAX_OWN = 1000, 20

Via = Literal["key", "socket"]


@dataclass(frozen=True)
class Reader:
    """Somebody who may read: the identity, how it was authenticated, and what it may see."""

    identity: Identity
    via: Via
    boundary: Boundary
    address: str
    user_agent: str

    @property
    def account(self) -> str:
        """Whose limits count: those of the key; the local socket has its own."""
        return self.identity.id if self.via == "key" else "socket"


@dataclass(frozen=True)
class Session:
    """One login of the status page; ``csrf`` stands in its forms."""

    identity: str
    csrf: str
    until: float


class Sessions:
    """The logins of this process, by the SHA-256 of their cookie.

    The oldest go at 1,000, and of one key at 20, so that no key ends the sessions of others.
    ``secure``: browsers come by https, so the ``cookie``'s name is one that nothing else can set.
    """

    def __init__(self, services: ConsoleServices) -> None:
        self._clock = services.clock
        self.secure = services.config.console.public_url.startswith("https:")
        self.cookie = f"__Host-{SESSION_COOKIE}" if self.secure else SESSION_COOKIE
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, identity: Identity) -> str:
        """Start a session; returns the cookie's value."""
        value = ids.token("ses_")
        until = self._clock.monotonic() + SESSION_SECONDS
        own = [name for name, one in self._sessions.items() if one.identity == identity.id]
        for name in own[: max(0, len(own) - _MAX_OWN + 1)]:
            del self._sessions[name]
        self._sessions[_digest(value)] = Session(identity.id, ids.token(""), until)
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return value

    def find(self, value: str) -> Session:
        """The session of a cookie; ``UnauthenticatedError`` if there is none or it is over."""
        session = self._sessions.get(_digest(value))
        if session is None or session.until < self._clock.monotonic():
            self.end(value)
            raise UnauthenticatedError("You are not logged in.", hint="Enter your key.")
        return session

    def end(self, value: str) -> None:
        """Forget a session; no error if there is none."""
        self._sessions.pop(_digest(value), None)


class Authenticator:
    """Turns a request into a ``Reader``; ``trusted`` means every request came by the socket."""

    def __init__(self, services: ConsoleServices, sessions: Sessions, *, trusted: bool) -> None:
        self._services = services
        self._sessions = sessions
        self._trusted = trusted

    def api(self, connection: HTTPConnection) -> Reader:
        """The reader of an API request.

        ``UnauthenticatedError`` without a known key; ``RefusedError`` for a key that may not
        read. On the socket a key is optional and, if given, decides.
        """
        given = presented_key(connection.scope["headers"], "inject")
        if given is None and self._trusted:
            return self._reader(connection, self._local(), "socket")
        return self.by_key(connection, given)

    def _local(self) -> Identity:
        """Who the user of the local socket is."""
        local = self._services.snapshot().local
        if local is None:
            raise UnauthenticatedError("This installation has no owner.", hint="affidavit up")
        return local

    def log(self, connection: HTTPConnection) -> Reader:
        """Who reads leaves and links: an owner or a monitor; errors as ``api``."""
        given = presented_key(connection.scope["headers"], "inject")
        if given is not None or not self._trusted:
            identity = self._known(connection, given)
            if identity.role == MONITOR:
                connection.state.identity = identity
                return self._made(connection, identity, "key", nothing(identity.actor))
        reader = self.api(connection)
        require_owner(reader)
        return reader

    def reporter(self, connection: HTTPConnection) -> Reader:
        """Who reports what a script did: an owner or a caller, who reads nothing by it.

        ``RefusedError`` for keys of other roles; else errors as ``api``.
        """
        given = presented_key(connection.scope["headers"], "inject")
        via: Via = "key"
        if given is None and self._trusted:
            identity, via = self._local(), "socket"
        else:
            identity = self._known(connection, given)
        connection.state.identity = identity
        if identity.role not in REPORTERS:
            raise RefusedError(
                f"A key with the role {identity.role} does not report changes.",
                hint="affidavit keys create NAME --role caller",
            )
        return self._counted(
            connection, self._made(connection, identity, via, nothing(identity.actor))
        )

    def by_key(self, connection: HTTPConnection, key: str | None) -> Reader:
        """The reader who holds ``key``; errors as ``api``."""
        return self._reader(connection, self._known(connection, key), "key")

    def page(self, connection: HTTPConnection) -> tuple[Reader, Session]:
        """The reader of a page request, and the session it came in; errors as ``api``."""
        session = self._sessions.find(connection.cookies.get(self._sessions.cookie, ""))
        for identity in self._services.snapshot().identities:
            if identity.id == session.identity and identity.revoked is None:
                return self._reader(connection, identity, "key"), session
        raise UnauthenticatedError("This key was revoked.", hint="Ask for a new one.")

    def _known(self, connection: HTTPConnection, key: str | None) -> Identity:
        """Whose key it is. A right key is never refused for the wrong ones of its neighbours."""
        try:
            return self._services.directory().find(key)
        except UnauthenticatedError:
            if key is not None and connection.client is not None:
                self._services.limits.failed(connection.client.host)
            raise

    def _reader(self, connection: HTTPConnection, identity: Identity, via: Via) -> Reader:
        connection.state.identity = identity  # whoever records a refusal knows who it was
        if identity.role not in READERS:
            opens = "reads the log" if identity.role == MONITOR else "opens the gateway"
            raise RefusedError(
                f"A key with the role {identity.role} {opens}, not the console.",
                hint="affidavit keys create NAME --role auditor",
            )
        services = self._services
        now = services.clock.now()
        glass = services.snapshot().glass(identity.id, now)
        boundary = boundary_of(identity, services.config, now, glass)
        return self._counted(connection, self._made(connection, identity, via, boundary))

    def _counted(self, connection: HTTPConnection, reader: Reader) -> Reader:
        """The reader, once this request is within its limits; ``LimitedError``."""
        limits = self._services.limits
        connection.state.limits = limits.headers(reader.account)
        limits.read(reader.account)
        connection.state.limits = limits.headers(reader.account)
        working_for.set(reader.account)
        return reader

    def _made(
        self, connection: HTTPConnection, identity: Identity, via: Via, boundary: Boundary
    ) -> Reader:
        return Reader(
            identity=identity,
            via=via,
            boundary=boundary,
            address=connection.client.host if connection.client else "",
            user_agent=connection.headers.get("user-agent", "")[:500],
        )


def require_owner(reader: Reader) -> None:
    """``RefusedError`` unless the reader is an owner."""
    if reader.identity.role != OWNER:
        raise RefusedError(f"This needs the role owner; you are {reader.identity.role}.")


def require_administration(reader: Reader) -> None:
    """``RefusedError`` unless the reader administrates: an owner or an administrator."""
    if reader.identity.role not in ADMINISTRATE:
        raise RefusedError(
            f"This needs the role owner or administrator; you are {reader.identity.role}."
        )


def check_csrf(session: Session, given: str) -> None:
    """``RefusedError`` unless ``given`` is the token that stands in this session's forms."""
    if not hmac.compare_digest(session.csrf.encode(), given.encode()):
        raise RefusedError("This form is from another session.", hint="Load the page again.")


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()

"""Where a login becomes a session of the page: the one place that does not ask how it was proved.

Rules: whoever has a ``Reader`` of this request may begin a session for it; today that is somebody
with a key (``Authenticator.by_key``), and another way in, such as OIDC, ends in the same call. The
cookie's value is new with each login, whatever the browser sent, and a session that the browser
had is over, so nobody can put one under somebody else's name. Whether it is ``Secure`` the
configuration says (``console.public_url``), as who connects is the proxy. The login is on record
before there is a cookie. Not here: sessions themselves and their end (``auth``).
"""

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from affidavit.console.access import Access
from affidavit.console.auth import SESSION_SECONDS, Reader, Sessions


async def logged_in(
    request: Request, reader: Reader, access: Access, sessions: Sessions
) -> Response:
    """Begin a session for ``reader`` and lead its browser to the page.

    ``CannotRecordError``: there is no session.
    """
    await access.read("access.login", reader, {"operation": "login"})
    sessions.end(request.cookies.get(sessions.cookie, ""))
    response = RedirectResponse("/", 303)
    response.set_cookie(
        sessions.cookie,
        sessions.begin(reader.identity),
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=sessions.secure,
    )
    return response


def logged_out(request: Request, sessions: Sessions) -> Response:
    """End the session of a request, here and in its browser."""
    sessions.end(request.cookies.get(sessions.cookie, ""))
    response = RedirectResponse("/", 303)
    response.delete_cookie(
        sessions.cookie, httponly=True, samesite="strict", secure=sessions.secure
    )
    return response

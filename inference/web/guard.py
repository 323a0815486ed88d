"""Who may talk to the server: only pages that have the token, and only under the server's own name.

Other pages in the same browser can send requests to 127.0.0.1, and with a name of their own that they let point to it
(DNS rebinding) also read the answers. They know neither the token, nor can they choose the headers Host and Origin.
"""

import hmac
import ipaddress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Guard:
    """Lets a request pass to `app` only if host, origin and token are right; the token leaves the path."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str], any_address: bool = False) -> None:
        """Name what is right.

        Args:
            app: what is guarded.
            token: the first part of every path.
            hosts: names, without port, under which the server is asked: through a tunnel the port is another one.
            any_address: whether any IP address is right as well, as for a server that listens on all of its own.
        """
        self._app = app
        self._token = token
        self._hosts = hosts
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        fault = self._fault(Request(scope))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS.items()]
            await send(message)

        if fault:
            await PlainTextResponse(fault, status_code=403)(scope, receive, guarded)
            return
        key, slash, path = scope["path"][1:].partition("/")
        if not slash:  # the page's own addresses are relative to its folder
            await RedirectResponse(f"/{key}/")(scope, receive, guarded)
            return
        await self._app({**scope, "path": f"/{path}", "raw_path": f"/{path}".encode()}, receive, guarded)

    def _fault(self, request: Request) -> str:
        """Return why a request is refused, or nothing."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self._is_ours(_name_of(host)):
            return "refused: the header Host is not this server's"
        if origin is None and request.method not in ("GET", "HEAD"):
            return "refused: a change needs the header Origin"
        if origin is not None and origin != f"http://{host}":
            return "refused: the header Origin is not this server's"
        given = request.url.path.split("/")[1]
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return "refused: open the address that the program printed; its first part is the key"
        return ""

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address


def _name_of(host: str) -> str:
    """Return a Host header without its port, an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host

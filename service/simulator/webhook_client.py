"""The provider's requests to the webhook URL, and every way in which they fail.

The URL holds a secret key: no sentence here quotes more than its origin.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.errors import RemoteError
from service.simulator.providers.markup import LOOPBACK, MAX_BYTES
from service.simulator.providers.signing import Signer


class NobodyListens(RemoteError):
    """The connection was refused: the request has reached nobody and may be repeated."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the server next, whose answer takes the place of the markup."""

    url: str = field(repr=False)
    method: str
    fields: Mapping[str, str] = field(repr=False)


XML_TYPES = ("text/xml", "application/xml")

HINTS = {
    403: "; is it signed with the connector's credentials?",
    404: "; is the webhook key right?",
}


def ask(
    url: str, fields: Mapping[str, str], method: str, timeout: float, signer: Signer | None
) -> bytes:
    """Send ``fields`` as a form and return the markup. Raises ``RemoteError``."""
    answer, kind = _exchange(url, fields, method, timeout, signer)
    if kind not in XML_TYPES:
        raise RemoteError(f"The webhook answered with the content type {kind[:60]}, not text/xml.")
    return answer


def tell(url: str, fields: Mapping[str, str], timeout: float, signer: Signer | None) -> None:
    """Send ``fields`` as a form where no markup is wanted. Raises ``RemoteError``."""
    _exchange(url, fields, "POST", timeout, signer)


def opener(host: str | None) -> urllib.request.OpenerDirector:
    """What opens HTTP URLs of ``host``."""
    # A proxy has no way to this machine's own loopback.
    proxies: dict[str, str] | None = {} if host in LOOPBACK else None
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies))


def unreachable(origin: str, reason: object, timeout: float) -> str:
    """Why nothing came back from ``origin``, in one sentence."""
    if isinstance(reason, ConnectionRefusedError):
        return f"Nothing listens at {origin} (connection refused); is the server running?"
    if isinstance(reason, TimeoutError):
        return f"{origin} did not answer within {timeout:g} seconds."
    if isinstance(reason, ssl.SSLError):
        return f"{origin} could not be reached over TLS ({reason.reason})."
    if isinstance(reason, OSError) and reason.strerror:
        return f"{origin} could not be reached ({reason.strerror})."
    return f"{origin} broke off its answer."


def _exchange(
    url: str, fields: Mapping[str, str], method: str, timeout: float, signer: Signer | None
) -> tuple[bytes, str]:
    parts = urllib.parse.urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.scheme not in ("http", "https"):
        raise RemoteError("The markup redirects to a URL that is not http:// or https://.")
    form = urllib.parse.urlencode(fields)
    body = form.encode() if method == "POST" else None
    if method == "GET":
        query = f"{parts.query}&{form}" if parts.query else form
        url = parts._replace(query=query).geturl()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "patchbay-simulator",
    }
    if signer is not None:
        headers |= signer.request(method, url, fields if body else {}, body or b"")
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        url, data=body, headers=headers, method=method
    )
    try:
        with opener(parts.hostname).open(request, timeout=timeout) as response:
            return response.read(MAX_BYTES + 1), response.headers.get_content_type()
    except urllib.error.HTTPError as error:
        with error:
            hint = HINTS.get(error.code, ".")
            raise RemoteError(f"{origin} answered the webhook with {error.code}{hint}") from None
    except urllib.error.URLError as error:
        refused = isinstance(error.reason, ConnectionRefusedError)
        kind = NobodyListens if refused else RemoteError
        raise kind(unreachable(origin, error.reason, timeout)) from None
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(unreachable(origin, error, timeout)) from None

"""Which addresses are asked: http and https, and no machine of a private network unless that is allowed.

Tables of items come from strangers, and an address in one may point at a machine that only this computer can reach
(its own services, the router, the metadata service of a cloud). So each host name is looked up once, what it stands
for is checked, and the connection goes to exactly the address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from visrec.data.downloads.failures import PRIVATE, Refused

Resolve = Callable[[str, int], Sequence[str]]
"""From a host name and a port to the numeric addresses that it stands for."""

_HTTPS_PORT, _HTTP_PORT = 443, 80
_TRIED = 8  # addresses of one name: each may take a timeout
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # a name, after IDNA, or an address of IPv6


def parsed(text: str) -> httpx.URL:
    """An address as it is written in a table.

    Raises:
        Refused: it is none, or not one of http or https.
    """
    try:
        url = httpx.URL(text.strip())
        fits = _HOST.fullmatch(url.host and url.raw_host.decode("ascii"))  # ValueError too: no name of a host
    except (httpx.InvalidURL, ValueError):
        raise Refused("not an address", lasting=True) from None
    if url.scheme not in ("http", "https"):
        raise Refused("not an http or https address", lasting=True)
    if not fits or not 0 < (url.port or _HTTP_PORT) < 1 << 16:
        raise Refused("not an address", lasting=True)
    return url


def is_public(address: str) -> bool:
    """Whether a numeric IPv4 or IPv6 address is one of the public internet.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is as public as that; any other has to be of the
    one block that is given out for the internet.
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        carried = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            carried = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
        if found not in _GLOBAL_UNICAST:
            return False
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291, 2.4, as IANA gives it out


def look_up(host: str, port: int) -> list[str]:
    """The numeric addresses of a host name, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedTransport(httpx.BaseTransport):
    """Requests to one host, over one connection, to addresses that were checked.

    The name is still what the certificate must be for (`sni_hostname`), and what the request says.
    """

    def __init__(self, context: ssl.SSLContext, *, allow_private: bool, resolve: Resolve = look_up) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._inner = httpx.HTTPTransport(verify=context, limits=limits, trust_env=False)
        self._allow_private = allow_private
        self._resolve = resolve
        self._known: dict[str, list[str]] = {}
        self._socket: socket.socket | None = None
        self._late = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the connection where what is done inside takes longer, however often a few bytes come.

        Raises:
            Refused: it was cut.
        """
        self._late = False
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (httpx.HTTPError, OSError, ValueError):
            if not self._late:
                raise
        finally:
            timer.cancel()
        if self._late:
            raise Refused("timed out", lasting=False, host_wide=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        name = url.raw_host.decode("ascii")
        port = url.port or (_HTTPS_PORT if url.scheme == "https" else _HTTP_PORT)
        addresses = self._known.pop(name, None) or self._checked(name, port)
        request.extensions = {**request.extensions, "sni_hostname": name, "trace": self._trace}
        for address in addresses[:_TRIED]:
            request.url = url.copy_with(host=address)
            try:
                response = self._inner.handle_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[:_TRIED][-1] or self._late:
                    raise  # looked up anew next time: the host may have moved
            else:
                # The connection is kept: stay with its address.
                self._known[name] = [address, *(one for one in addresses if one != address)]
                return response
        raise Refused("no such host", lasting=False, host_wide=True)

    def close(self) -> None:
        self._inner.close()

    def _trace(self, event: str, facts: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = facts["return_value"].get_extra_info("socket")

    def _cut(self) -> None:
        self._late = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _checked(self, name: str, port: int) -> list[str]:
        try:
            found = list(self._resolve(name, port))
        except UnicodeError:
            raise Refused("not an address", lasting=True, host_wide=True) from None
        except OSError:
            found = []
        if self._allow_private or not found:
            return found
        public = [address for address in found if is_public(address)]
        if not public:
            raise Refused(PRIVATE, lasting=True, host_wide=True)
        return public

"""Host header validation against DNS rebinding."""

from __future__ import annotations

from ipaddress import ip_address

# Names of the host machine inside containers. The top-level domain `internal` is reserved and cannot be registered.
CONTAINER_NAMES = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")


class TrustedHosts:
    """Rejects host names that an attacker could have pointed at this machine (DNS rebinding).

    When evil.example starts to resolve to 127.0.0.1, the browser treats its page as same-origin with this server and
    lets it read every response. The request still carries `Host: evil.example`. IP addresses, `localhost` and names
    without a dot cannot be registered by an attacker; ALLOWED_HOSTS lists further names.
    """

    def __init__(self, own: str, allowed: str) -> None:
        listed = [name.strip().lower() for name in allowed.split(",") if name.strip()]
        self._allows_all = "*" in listed
        self._names = {own.lower(), *CONTAINER_NAMES, *listed}

    def allows(self, host: str) -> bool:
        """Whether the `Host` header value, with or without a port, is accepted."""
        name = host.strip().lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        name = name.removesuffix(".")
        if self._allows_all or name in self._names or "." not in name.removesuffix(".localhost"):
            return True
        return _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

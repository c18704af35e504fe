"""Which names the server answers to."""

from __future__ import annotations

from ipaddress import ip_address


class TrustedHosts:
    """Refuses names that a stranger could have pointed at this machine (DNS rebinding).

    A page of evil.example whose name suddenly means 127.0.0.1 is, to the browser, of the server's own origin, and may
    read every answer. It still sends its own name as `Host`. Addresses, `localhost` and names without a dot are not
    names somebody can register; others are told in ALLOWED_HOSTS.
    """

    def __init__(self, own: str, allowed: str) -> None:
        listed = [name.strip().lower() for name in allowed.split(",") if name.strip()]
        self._allows_all = "*" in listed
        self._names = {own.lower(), *listed}

    def allows(self, host: str) -> bool:
        """`host` as the header has it, with or without a port."""
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

"""Rate limiting with one token bucket per client."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from cachetools import LRUCache

# For `RATE_LIMIT_PER_MIN=-1`. A player that fetches sentence by sentence sends fewer than 30 requests a minute.
REMOTE_PER_MIN = 300
# The bucket of the least recently seen client is evicted, so that client starts with a full one again.
MAX_CLIENTS = 10_000


class RateLimit:
    """Token buckets: bursts of `per_min` requests, refilled at `per_min` a minute. Not thread-safe."""

    def __init__(self, per_min: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_min = per_min
        self._clock = clock
        # Client -> remaining tokens, time of the last request.
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_CLIENTS)

    def wait_s(self, key_name: str | None, address: str | None) -> float:
        """Takes a token; returns 0, or the seconds until the client has one.

        Clients are identified by API key, else by address. `address` is None without a network connection.
        """
        per_min = self._per_min if self._per_min >= 0 else 0 if is_local(address) else REMOTE_PER_MIN
        if per_min == 0:
            return 0.0
        client = f"key {key_name}" if key_name else network_of(address)
        now_s = self._clock()
        tokens, seen_s = self._buckets.get(client, (float(per_min), now_s))
        tokens = min(per_min, tokens + (now_s - seen_s) * per_min / 60)
        if tokens < 1:
            self._buckets[client] = tokens, now_s
            return (1 - tokens) * 60 / per_min
        self._buckets[client] = tokens - 1, now_s
        return 0.0


def is_local(address: str | None) -> bool:
    """Whether the client is on this machine: loopback, a Unix socket, or the same process."""
    parsed = _parse(address)
    return parsed is None or parsed.is_loopback


def network_of(address: str | None) -> str:
    """Returns the address, or its /64 network for IPv6, which one subscriber usually owns as a whole."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def _parse(address: str | None) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed

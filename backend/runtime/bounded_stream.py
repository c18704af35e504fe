"""A bounded stream of items from one thread to another that can end, fail or be cancelled."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from backend.errors import Cancelled, TimedOut

Item = TypeVar("Item")


class BoundedStream(Generic[Item]):
    """Items in order from one writer to one reader. `weight` of the waiting items stays within `capacity`.

    An item is taken in while there is any room, so that one heavier than `capacity` passes too. Writers never
    block: they ask `has_room` and are called back on `on_room`. Readers block in `get`, or take what is there
    and are called back on `on_item`. Callbacks run without the lock, on the other side's thread.
    """

    def __init__(self, capacity: int, weight: Callable[[Item], int] = lambda item: 1):
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; a stream needs room for one item")
        self.capacity = capacity
        self.on_room: Callable[[], None] = lambda: None
        self.on_item: Callable[[], None] = lambda: None
        self._weight = weight
        self._items: deque[Item] = deque()
        self._waiting = 0
        self._is_ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    @property
    def has_room(self) -> bool:
        return self._waiting < self.capacity

    @property
    def is_over(self) -> bool:
        """Nothing more will be put in, for whatever reason."""
        return self._is_ended or self._error is not None

    @property
    def is_cancelled(self) -> bool:
        return isinstance(self._error, Cancelled)

    @property
    def error(self) -> BaseException | None:
        return self._error

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add an item the writer has room for. After the end, a failure or a cancellation it is dropped."""
        with self._changed:
            if self.is_over:
                return
            self._items.append(item)
            self._waiting += self._weight(item)
            self._changed.notify_all()
        self.on_item()

    def finish(self) -> None:
        """End the stream: the reader gets what waits and then the end."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
        self.on_item()

    def fail(self, error: BaseException) -> None:
        """Break the stream: waiting items are dropped and the reader gets `error`. The first failure stays."""
        with self._changed:
            # A stream that ended well and was read to its end cannot fail any more.
            if self._error is None and (self._items or not self._is_ended):
                self._error = error
            self._items.clear()
            self._waiting = 0
            self._changed.notify_all()
        self.on_item()
        self.on_room()

    def cancel(self) -> None:
        """The reader wants no more: the writer sees `is_over`."""
        self.fail(Cancelled("The request was cancelled by its caller."))

    def take(self, most: int) -> list[Item]:
        """Up to `most` waiting items, at once. Raises what the stream failed with."""
        with self._changed:
            if self._error is not None:
                raise self._error
            items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._waiting -= sum(map(self._weight, items))
        if items:
            self.on_room()
        return items

    def get(self, timeout_s: float) -> Item | None:
        """The next item, or None at the end. Raises what the stream failed with, or `TimedOut`."""
        limit = time.monotonic() + timeout_s
        with self._changed:
            while not self._items and not self.is_over:
                left_s = limit - time.monotonic()
                if left_s <= 0:
                    raise TimedOut(f"Nothing came within {timeout_s:.1f} s. Try again, or send a shorter text.")
                self._changed.wait(left_s)
            if self._error is not None:
                raise self._error
            if not self._items:
                return None
            item = self._items.popleft()
            self._waiting -= self._weight(item)
        self.on_room()
        return item

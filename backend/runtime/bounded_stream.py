"""A bounded stream between two threads that can end, fail or be cancelled."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from backend.errors import Cancelled, TimedOut

Item = TypeVar("Item")


class BoundedStream(Generic[Item]):
    """A queue from one writer to one reader, bounded by the total `weight` of its items.

    `has_room` is true while the weight is below `capacity`, so an item heavier than `capacity` passes too. Writers
    never block: they check `has_room` and are called back through `on_room`. Readers block in `get`, or call `take`
    and are called back through `on_item`. Callbacks run without the lock, on the other side's thread.
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
        """Whether the stream has ended, failed or been cancelled."""
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
        """Add an item; dropped if the stream is over."""
        with self._changed:
            if self.is_over:
                return
            self._items.append(item)
            self._waiting += self._weight(item)
            self._changed.notify_all()
        self.on_item()

    def finish(self) -> None:
        """End the stream: the reader gets the queued items, then the end."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
        self.on_item()

    def fail(self, error: BaseException) -> None:
        """Fail the stream: queued items are dropped and the reader gets `error`. The first error is kept."""
        with self._changed:
            # A stream that ended normally and was read completely cannot fail any more.
            if self._error is None and (self._items or not self._is_ended):
                self._error = error
            self._items.clear()
            self._waiting = 0
            self._changed.notify_all()
        self.on_item()
        self.on_room()

    def cancel(self) -> None:
        """Cancel from the reader's side: the writer sees `is_over`."""
        self.fail(Cancelled("The request was cancelled by the client."))

    def take(self, most: int) -> list[Item]:
        """Return up to `most` queued items without blocking. Raises the stream's error."""
        with self._changed:
            if self._error is not None:
                raise self._error
            items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._waiting -= sum(map(self._weight, items))
        if items:
            self.on_room()
        return items

    def get(self, timeout_s: float) -> Item | None:
        """Wait for the next item; None at the end. Raises the stream's error, or `TimedOut`."""
        limit = time.monotonic() + timeout_s
        with self._changed:
            while not self._items and not self.is_over:
                left_s = limit - time.monotonic()
                if left_s <= 0:
                    raise TimedOut(f"No output within {timeout_s:.1f} s. Try again, or send a shorter text.")
                self._changed.wait(left_s)
            if self._error is not None:
                raise self._error
            if not self._items:
                return None
            item = self._items.popleft()
            self._waiting -= self._weight(item)
        self.on_room()
        return item

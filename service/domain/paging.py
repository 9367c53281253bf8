"""Pages of lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``number`` counts from 1.

    ``is_minimum`` says that there are ``total`` entries or more: long lists are not counted to
    their end. There is then a page after this one, unless ``total`` ends with it.
    """

    items: tuple[T, ...]
    number: int
    per_page: int
    total: int
    is_minimum: bool = False

    @classmethod
    def cut(cls, entries: Sequence[T], number: int, per_page: int) -> Page[T]:
        """Cut a page out of a whole list. A page past the last is empty."""
        first = (number - 1) * per_page
        return cls(tuple(entries[first : first + per_page]), number, per_page, len(entries))

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.per_page))

"""Pages of lists."""

from __future__ import annotations

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

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.per_page))

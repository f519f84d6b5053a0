"""At most one default class for each driver: which change of a class would make a second one, and what to say then.

With two of them neither is used, and requests that name no class fail. `snapshotter.webhook.admission` asks.
"""

from collections.abc import Iterable
from typing import TypeVar

from snapshotter.model.lifecycle import AnyClass

K = TypeVar("K", bound=AnyClass)


def rivals(new: K, old: K | None, others: Iterable[K]) -> list[K]:
    """The default classes of the driver beside which a change would put another one.

    A class that was a default of the driver before may be changed freely, also to mend what is wrong with it.
    `old` is None for a class that is made.
    """
    was_default = old is not None and old.is_default and old.driver == new.driver
    if was_default or not new.is_default:
        return []
    return [other for other in others if other.is_default and other.driver == new.driver and other.key != new.key]


def refusal(new: AnyClass, rival: AnyClass, kind: str, annotation: str) -> str:
    """What is said to who wants a second default class."""
    return (
        f'{kind} "{new.key}" cannot be the default for driver "{new.driver}": {kind} "{rival.key}" is it already. '
        f"Remove the annotation {annotation} there first."
    )

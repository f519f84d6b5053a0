"""Which class a request is made with: the one that it names, or the default one of its driver."""

from collections.abc import Callable
from typing import TypeVar

from snapshotter.model.lifecycle import AnyClass
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.plan.requests import Reasons, Refuse, absent

K = TypeVar("K", bound=AnyClass)


def named_class(
    request: UserSnapshot,
    class_of: Callable[[str], K | None],
    trouble_of: Callable[[str], str | None],
    reasons: Reasons,
) -> K | Refuse | None:
    """The class that the request names; None if it names none."""
    if request.class_name is None:
        return None
    found = class_of(request.class_name)
    if found is None:
        why = absent(trouble_of(request.class_name))
        problem = f'{request.keys.class_kind} "{request.class_name}" {why}'
        return Refuse(reasons.class_missing, problem, ready=None)
    return found


def default_class(
    request: UserSnapshot,
    driver: str,
    defaults_of: Callable[[str], tuple[K, ...]],
    trouble: str | None,
    reasons: Reasons,
) -> K | Refuse:
    """The one class that is marked as the default of a driver. `trouble`: why no class is known."""
    found = defaults_of(driver)
    if len(found) == 1:
        return found[0]
    kind = request.keys.class_kind
    if trouble is not None:
        problem = f'no {kind} is named, and the default one of driver "{driver}" {absent(trouble)}'
        return Refuse(reasons.no_default_class, problem, ready=None)
    if not found:
        problem = (
            f'no {kind} is named, and 0 are marked as the default of driver "{driver}" '
            f'(by the annotation {request.keys.default_class}: "true")'
        )
    else:
        names = ", ".join(sorted(f'"{each.name}"' for each in found))
        problem = f'no {kind} is named, and {len(found)} are marked as the default of driver "{driver}": {names}'
    return Refuse(reasons.no_default_class, problem, ready=None)

"""What we use of kubernetes_asyncio, imported without what we do not: its generated models and APIs.

Their packages import some 850 modules when any part of the library is, for 38 MB and a quarter of a second of CPU
(docs/decisions/2026-11-20-speed-and-memory.md). Here such a package is loaded without running its `__init__`; that
runs, and everything is as usual, when somebody asks for a name that is not among those that we know the place of.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "kubernetes_asyncio": {},
    "kubernetes_asyncio.client": {"ApiClient": "api_client", "Configuration": "configuration"},
    "kubernetes_asyncio.client.models": {},
}
"""By package: the names that are had from one of its modules, without its `__init__`."""
UNUSED: Final = {"ApiClient"}
"""What the library binds when it is imported sparingly, and we never call: what it needs is imported by a call."""


class _Sparing(Loader):
    """Loads a package, and runs its `__init__` only if that has to be."""

    def __init__(self, usual: Loader, places: Mapping[str, str]) -> None:
        self._usual = usual
        self._places = places

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        def get(name: str) -> Any:
            if name in UNUSED and any(isinstance(finder, _Finder) for finder in sys.meta_path):
                return partial(_made_after_all, module, name)
            if name in self._places:
                return getattr(importlib.import_module(f"{module.__name__}.{self._places[name]}"), name)
            if find_spec(f"{module.__name__}.{name}") is not None:
                return importlib.import_module(f"{module.__name__}.{name}")
            del module.__dict__["__getattr__"]
            self._usual.exec_module(module)
            return getattr(module, name)

        module.__dict__["__getattr__"] = get  # PEP 562


def _made_after_all(module: ModuleType, name: str, *given: Any, **named: Any) -> Any:
    return getattr(module, name)(*given, **named)


class _Finder(MetaPathFinder):
    """Finds the packages of `PLACES`, for a sparing load."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in PLACES else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Sparing(spec.loader, PLACES[fullname])
        return spec


@contextmanager
def _sparingly() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


with _sparingly():
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

__all__ = ["ConfigException", "Configuration", "load_incluster_config", "load_kube_config"]

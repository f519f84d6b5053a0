"""CEL rules of a schema node (`x-kubernetes-validations`).

A rule sees the node's value as `self` and, in an update, the earlier value as `oldSelf`. A rule that mentions
`oldSelf` is a transition rule: it holds only when there is an earlier value to compare with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import cel

from snapshotter.testing.apiserver.status import Reason

_EVALUATION_ERRORS = (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, IndexError)

_RESERVED = frozenset(
    """true false null in as break const continue else for function if import let loop package namespace
    return var void while""".split()  # noqa: SIM905 - reads better than a list of strings
)


class RuleError(Exception):
    """A rule that does not compile; the text says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    text: str
    message: str
    reason: Reason
    field_path: str
    is_transition: bool
    optional_old_self: bool
    program: cel.Program
    message_program: cel.Program | None

    def violation(self, variables: dict[str, Any]) -> str | None:
        """Why the value is refused, or None when it is fine."""
        try:
            if self.program.execute(variables) is True:
                return None
        except _EVALUATION_ERRORS as error:
            return f"rule evaluation failed: {self.text}: {error}"
        return self._explain(variables)

    def _explain(self, variables: dict[str, Any]) -> str:
        if self.message_program is not None:
            try:
                text = self.message_program.execute(variables)
            except _EVALUATION_ERRORS:
                text = None
            if isinstance(text, str) and text.strip():
                return text
        return self.message or f"failed rule: {self.text}"


def compile_rule(source: Mapping[str, Any]) -> Rule:
    """Raises `RuleError`."""
    text = source["rule"].strip()
    expression = source.get("messageExpression")
    return Rule(
        text=text,
        message=source.get("message", "").strip(),
        reason=cast("Reason", source.get("reason", "FieldValueInvalid")),
        field_path=source.get("fieldPath", ""),
        is_transition=re.search(r"\boldSelf\b", text) is not None,
        optional_old_self=bool(source.get("optionalOldSelf")),
        program=_compile(text),
        message_program=_compile(expression) if expression else None,
    )


def _compile(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except (ValueError, TypeError) as error:
        raise RuleError(f"compilation failed: {error}") from error


def escaped(name: str) -> str:
    """The name under which a rule reaches a property; `namespace` is reached as `__namespace__`."""
    if name in _RESERVED:
        return f"__{name}__"
    name = name.replace("__", "__underscores__")
    return name.replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")

"""What a create request holds besides the volumes: the name, the parameters, the credentials."""

from collections.abc import Mapping
from dataclasses import dataclass

from snapshotter import names
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.plan.lifecycle import Naming, Refuse, Step, Terms, usable, waits_for_cut
from snapshotter.plan.secrets import Problem, SecretRef, secret_from_annotations


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything about a create call but what is cut."""

    name: str
    secret: SecretRef | None
    parameters: Mapping[str, str]
    without_class: str | None = None


def prepare(content: AnyContent, known_class: AnyClass | None, terms: Terms) -> Prepared | Refuse:
    """What a create call needs, or why it cannot be made. All of it is checked before anything is written."""
    if content.class_name is None:
        return Refuse(Step.CREATE, f"spec.{content.keys.class_name} is not set, and creating needs a class")
    secret = secret_from_annotations(content)
    if isinstance(secret, Problem):
        return Refuse(Step.CREATE, secret.text)
    name = snapshot_name(terms.naming, content)
    if isinstance(name, Problem):
        return Refuse(Step.CREATE, name.text)
    parameters = usable(content, known_class, terms)
    if not isinstance(parameters, Problem):
        parameters = driver_parameters(parameters)
    if isinstance(parameters, Problem):
        if waits_for_cut(content):
            return Prepared(name, secret, {}, without_class=parameters.text)
        return Refuse(Step.CREATE, parameters.text)
    if terms.extra_create_metadata:
        parameters |= extra_metadata(content)
    return Prepared(name, secret, parameters)


def snapshot_name(naming: Naming, content: AnyContent) -> str | Problem:
    """The name that makes CreateSnapshot idempotent: the same for the same content, whenever it is asked."""
    uid = content.ref.uid
    if not uid:
        return Problem(f"spec.{content.keys.ref}.uid is empty, so the snapshot has no name")
    if naming.uuid_length is None:
        return f"{naming.prefix}-{uid}"
    return f"{naming.prefix}-{uid.replace('-', '')[: naming.uuid_length]}"


def driver_parameters(parameters: Mapping[str, str]) -> dict[str, str] | Problem:
    """A class's parameters without the reserved ones; the unknown among those are a mistake in the class."""
    reserved = {key for key in parameters if key.startswith(names.RESERVED_PREFIX)}
    if unknown := sorted(reserved - names.RESERVED_PARAMETERS):
        listed = ", ".join(f'"{key}"' for key in unknown)
        return Problem(f"class parameters {listed} are unknown, and {names.RESERVED_PREFIX} is reserved")
    return {key: value for key, value in parameters.items() if key not in reserved}


def extra_metadata(content: AnyContent) -> dict[str, str]:
    """What `--extra-create-metadata` adds: which objects the snapshot is made for."""
    return {
        content.keys.metadata_name: content.ref.name,
        content.keys.metadata_namespace: content.ref.namespace,
        content.keys.metadata_content: content.name,
    }

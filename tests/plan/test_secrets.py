"""Which Secret is read: annotations, templates in a class, and the shell's way of expanding them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.plan.secrets import (
    Expanded,
    Problem,
    SecretRef,
    expand,
    group_get_secret,
    group_snapshotter_secret,
    list_secret,
    named_secrets,
    secret_from_annotations,
    snapshotter_secret,
)
from tests.factories import content, group_content

CONTENT = content(name="content-1")

ANNOTATIONS = {
    "no annotation, no secret": (None, None, None),
    "both give a secret (case 6)": ("secret-1", "ns-1", SecretRef("ns-1", "secret-1")),
    "a name alone is a mistake (case 12)": ("secret-1", None, Problem),
    "a namespace alone is a mistake (case 12)": (None, "ns-1", Problem),
    "two empty values are a mistake (case 7)": ("", "", Problem),
    "an empty name is a mistake": ("", "ns-1", Problem),
    "an empty namespace is a mistake": ("secret-1", "", Problem),
}


def annotated(name: str | None, namespace: str | None) -> Content:
    pair = {names.DELETION_SECRET_NAME: name, names.DELETION_SECRET_NAMESPACE: namespace}
    return content(annotations={key: value for key, value in pair.items() if value is not None})


@pytest.mark.parametrize(("name", "namespace", "expected"), ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
def test_secret_from_annotations(
    name: str | None, namespace: str | None, expected: SecretRef | type[Problem] | None
) -> None:
    found = secret_from_annotations(annotated(name, namespace))
    if expected is Problem:
        assert isinstance(found, Problem)
        assert names.DELETION_SECRET_NAME in found.text
        assert names.DELETION_SECRET_NAMESPACE in found.text
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("name", "namespace", "text"),
    [
        ("secret 1", "ns-1", f'annotation {names.DELETION_SECRET_NAME}: "secret 1" is not a valid Secret name'),
        ("../x", "ns-1", f'annotation {names.DELETION_SECRET_NAME}: "../x" is not a valid Secret name'),
        ("secret-1", "NS", f'annotation {names.DELETION_SECRET_NAMESPACE}: "NS" is not a valid namespace'),
        ("secret-1", "a/b", f'annotation {names.DELETION_SECRET_NAMESPACE}: "a/b" is not a valid namespace'),
    ],
)
def test_an_annotation_that_names_no_secret_is_a_mistake(name: str, namespace: str, text: str) -> None:
    found = secret_from_annotations(annotated(name, namespace))
    assert found == Problem(text)


GROUP_KEYS = (names.GROUP_DELETION_SECRET_NAME, names.GROUP_DELETION_SECRET_NAMESPACE)


@pytest.mark.parametrize(("name", "namespace", "expected"), ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
def test_a_group_has_annotations_of_its_own(
    name: str | None, namespace: str | None, expected: SecretRef | type[Problem] | None
) -> None:
    """Case 82."""
    pair = zip(GROUP_KEYS, (name, namespace), strict=True)
    found = secret_from_annotations(group_content(annotations={key: value for key, value in pair if value is not None}))
    if expected is Problem:
        assert isinstance(found, Problem)
        assert all(key in found.text for key in GROUP_KEYS)
    else:
        assert found == expected


def in_class(name: str | None, namespace: str | None) -> dict[str, str]:
    given_parameters = {names.LIST_SECRET_NAME: name, names.LIST_SECRET_NAMESPACE: namespace, "pool": "fast"}
    return {key: value for key, value in given_parameters.items() if value is not None}


FOUND = {
    "no parameter, no secret (case 58)": (None, None, None),
    "plain names are used as they are (case 59)": ("secret-1", "ns-1", SecretRef("ns-1", "secret-1")),
    "a name may have dots": ("a.b-c.d", "ns-1", SecretRef("ns-1", "a.b-c.d")),
    "the content's name is put in (case 61)": (
        "${volumesnapshotcontent.name}-x",
        "ns-1",
        SecretRef("ns-1", "content-1-x"),
    ),
    "in a namespace as well (case 61)": (
        "secret-1",
        "ns-${volumesnapshotcontent.name}",
        SecretRef("ns-content-1", "secret-1"),
    ),
    "more than once": (
        "${volumesnapshotcontent.name}.${volumesnapshotcontent.name}",
        "ns-1",
        SecretRef("ns-1", "content-1.content-1"),
    ),
    "an empty variable vanishes (case 62)": ("secret${}-1", "ns-1", SecretRef("ns-1", "secret-1")),
    "a namespace of 63 characters": ("secret-1", "n" * 63, SecretRef("n" * 63, "secret-1")),
    "a name of 253 characters": (
        ".".join(["s" * 63] * 3 + ["s" * 61]),
        "ns-1",
        SecretRef("ns-1", ".".join(["s" * 63] * 3 + ["s" * 61])),
    ),
}


@pytest.mark.parametrize(("name", "namespace", "expected"), FOUND.values(), ids=FOUND.keys())
def test_a_class_names_the_secret_for_looking_up(
    name: str | None, namespace: str | None, expected: SecretRef | None
) -> None:
    assert list_secret(in_class(name, namespace), CONTENT) == expected


REFUSED = {
    "a name alone (case 58)": ("secret-1", None, "must both be set"),
    "a namespace alone (case 58)": (None, "ns-1", "must both be set"),
    "an empty name (case 62)": ("", "ns-1", "must both be set"),
    "an empty namespace (case 62)": ("secret-1", "", "must both be set"),
    "a blank in a name (case 59)": ("secret 1", "ns-1", '"secret 1" is not a valid Secret name'),
    "an annotation's expression (case 60)": (
        "${volumesnapshotcontent.annotations['team']}",
        "ns-1",
        "unknown tokens: \"volumesnapshotcontent.annotations['team']\"",
    ),
    "the snapshot's name, which only the controller knows (case 61)": (
        "${volumesnapshot.name}",
        "ns-1",
        'unknown tokens: "volumesnapshot.name"',
    ),
    "the snapshot's namespace, which only the controller knows (case 61)": (
        "secret-1",
        "${volumesnapshot.namespace}",
        'unknown tokens: "volumesnapshot.namespace"',
    ),
    "unknown tokens, sorted": (
        "${c}${a}${b}${a}",
        "ns-1",
        'unknown tokens: "a", "b", "c" (known: ${volumesnapshotcontent.name})',
    ),
    "a token without braces ends at the dot": (
        "$volumesnapshotcontent.name",
        "ns-1",
        'unknown tokens: "volumesnapshotcontent"',
    ),
    "a plain variable (case 62)": ("$foo", "ns-1", 'unknown tokens: "foo"'),
    "two dollars (case 62)": ("$$", "ns-1", 'unknown tokens: "$"'),
    "a dollar at the end (case 62)": ("secret-1$", "ns-1", '"secret-1$" is not a valid Secret name'),
    "upper case in a namespace (case 62)": ("secret-1", "NS", '"NS" is not a valid namespace'),
    "a dot in a namespace": ("secret-1", "n.s", '"n.s" is not a valid namespace'),
    "a dash at the end of a namespace": ("secret-1", "ns-", '"ns-" is not a valid namespace'),
    "a namespace of 64 characters": ("secret-1", "n" * 64, "is not a valid namespace"),
    "a part of a name of 64 characters": ("s" * 64, "ns-1", "is not a valid Secret name"),
    "a name of 254 characters": (".".join(["s" * 63] * 3 + ["s" * 62]), "ns-1", "is not a valid Secret name"),
    "a line feed after a namespace": ("secret-1", "ns-1\n", "is not a valid namespace"),
    "letters that only look like it": ("sécret", "ns-1", "is not a valid Secret name"),
    "nothing is left of a template": ("${}", "ns-1", '"${}" gives "", which is not a valid Secret name'),
    "a result that is no name, with the template": (
        "${volumesnapshotcontent.name}-",
        "ns-1",
        '"${volumesnapshotcontent.name}-" gives "content-1-", which is not a valid Secret name',
    ),
}


@pytest.mark.parametrize(("name", "namespace", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_a_class_is_told_what_is_wrong_with_its_secret(name: str | None, namespace: str | None, text: str) -> None:
    problem = list_secret(in_class(name, namespace), CONTENT)
    assert isinstance(problem, Problem)
    assert text in problem.text


def test_of_two_mistakes_the_one_in_the_namespace_is_told() -> None:
    problem = list_secret(in_class("$name", "$namespace"), CONTENT)
    assert isinstance(problem, Problem)
    assert names.LIST_SECRET_NAMESPACE in problem.text


def in_group_class(name: str | None, namespace: str | None) -> dict[str, str]:
    given_parameters = {names.GROUP_GET_SECRET_NAME: name, names.GROUP_GET_SECRET_NAMESPACE: namespace, "pool": "fast"}
    return {key: value for key, value in given_parameters.items() if value is not None}


OF_GROUPS: dict[str, tuple[str | None, str | None, SecretRef | Problem | None]] = {
    "no parameter, no secret": (None, None, None),
    "plain names are used as they are": ("secret-1", "ns-1", SecretRef("ns-1", "secret-1")),
    "the group content's name is put in (case 98)": (
        "${volumegroupsnapshotcontent.name}-x",
        "ns-${volumegroupsnapshotcontent.name}",
        SecretRef("ns-group-content-1", "group-content-1-x"),
    ),
    "that of a single content is not known (case 98)": (
        "${volumesnapshotcontent.name}",
        "ns-1",
        Problem(
            f'class parameter {names.GROUP_GET_SECRET_NAME}: template "${{volumesnapshotcontent.name}}" has unknown '
            'tokens: "volumesnapshotcontent.name" (known: ${volumegroupsnapshotcontent.name})'
        ),
    ),
    "a name alone": (
        "secret-1",
        None,
        Problem(
            f"class parameters {names.GROUP_GET_SECRET_NAME} and {names.GROUP_GET_SECRET_NAMESPACE} "
            "must both be set, or neither"
        ),
    ),
}


@pytest.mark.parametrize(("name", "namespace", "expected"), OF_GROUPS.values(), ids=OF_GROUPS.keys())
def test_a_class_names_the_secret_for_looking_up_groups(
    name: str | None, namespace: str | None, expected: SecretRef | Problem | None
) -> None:
    assert group_get_secret(in_group_class(name, namespace), group_content()) == expected


def test_the_secrets_for_looking_up_snapshots_and_groups_are_not_taken_for_each_other() -> None:
    assert group_get_secret(in_class("secret-1", "ns-1"), group_content()) is None
    assert list_secret(in_group_class("secret-1", "ns-1"), CONTENT) is None


EXPANSIONS: dict[str, tuple[str, Expanded]] = {
    "text without a dollar": ("plain", Expanded("plain", ())),
    "a token in braces": ("<${a.b}>", Expanded("<1>", ())),
    "a token without braces": ("<$c>", Expanded("<2>", ())),
    "the longest token is taken": ("$cc", Expanded("", ("cc",))),
    "digits and underscores belong to a token": ("$c_1-", Expanded("-", ("c_1",))),
    "a special character is a token of its own": ("$*$#$$$@$!$?$-", Expanded("", ("!", "#", "$", "*", "-", "?", "@"))),
    "a digit is a token of its own": ("$12", Expanded("2", ("1",))),
    "an empty token vanishes": ("<${}>", Expanded("<>", ())),
    "a brace that is not closed goes, with its dollar": ("<${a.b", Expanded("<a.b", ())),
    "a dollar at the end stays": ("a$", Expanded("a$", ())),
    "a dollar before anything else stays": ("$. $/", Expanded("$. $/", ())),
    "what a token stands for is not expanded again": ("${d}", Expanded("$c", ())),
    "anything may stand in braces": ("${a b}", Expanded("", ("a b",))),
    "a brace within braces": ("${a${c}}", Expanded("}", ("a${c",))),
}


@pytest.mark.parametrize(("template", "expected"), EXPANSIONS.values(), ids=EXPANSIONS.keys())
def test_templates_are_expanded_as_a_shell_does(template: str, expected: Expanded) -> None:
    assert expand(template, {"a.b": "1", "c": "2", "d": "$c"}) == expected


templates = st.text(alphabet=st.sampled_from("ab.${}*1_- \n\u00e9") | st.characters(codec="utf-8"))


@given(templates)
def test_expanding_never_fails(template: str) -> None:
    expanded = expand(template, {"a": "x", "a.b": "y"})
    assert list(expanded.unknown) == sorted(set(expanded.unknown))
    assert not {"a", "a.b", ""} & set(expanded.unknown)


@given(templates.filter(lambda text: "$" not in text))
def test_text_without_a_dollar_stays_as_it_is(template: str) -> None:
    assert expand(template, {"a": "x"}) == Expanded(template, ())


@given(templates, templates)
def test_a_class_with_any_text_in_it_is_answered(name: str, namespace: str) -> None:
    assert isinstance(list_secret(in_class(name, namespace), CONTENT), SecretRef | Problem)


NAMED = {
    "a class without Secrets names none": ({"pool": "fast"}, []),
    "each pair names one": (
        {
            names.SNAPSHOTTER_SECRET_NAME: "cut",
            names.SNAPSHOTTER_SECRET_NAMESPACE: "a",
            names.LIST_SECRET_NAME: "look",
            names.LIST_SECRET_NAMESPACE: "b",
            names.GROUP_SNAPSHOTTER_SECRET_NAME: "cut",
            names.GROUP_SNAPSHOTTER_SECRET_NAMESPACE: "c",
            names.GROUP_GET_SECRET_NAME: "look",
            names.GROUP_GET_SECRET_NAMESPACE: "d",
        },
        [SecretRef("a", "cut"), SecretRef("b", "look"), SecretRef("c", "cut"), SecretRef("d", "look")],
    ),
    "a template names none before it is known for what": (
        {names.LIST_SECRET_NAME: "${volumesnapshotcontent.name}", names.LIST_SECRET_NAMESPACE: "b"},
        [],
    ),
    "so does one for the namespace": (
        {names.LIST_SECRET_NAME: "look", names.LIST_SECRET_NAMESPACE: "${volumesnapshot.namespace}"},
        [],
    ),
    "half a pair names none": ({names.LIST_SECRET_NAME: "look"}, []),
    "an impossible name is none": ({names.LIST_SECRET_NAME: "LOOK", names.LIST_SECRET_NAMESPACE: "b"}, []),
}


@pytest.mark.parametrize(("parameters", "expected"), NAMED.values(), ids=NAMED.keys())
def test_the_secrets_that_a_class_names_outright(parameters: dict[str, str], expected: list[SecretRef]) -> None:
    assert named_secrets(parameters) == expected


ANY_SECRET: dict[str, tuple[str | None, str | None, str]] = {
    "no parameters (case 177)": (None, None, "NoneType"),
    "a namespace alone (case 177)": (None, "ns-1", "Problem"),
    "plain names (case 177)": ("secret-1", "ns-1", "ns-1/secret-1"),
    "a blank (case 177)": ("secret 1", "ns-1", "Problem"),
    "an unknown variable (case 177)": ("${pvc.name}", "ns-1", "Problem"),
    "the request in the name (case 178)": ("of-${SNAPSHOT.name}", "ns-1", "ns-1/of-nightly"),
    "the request in the namespace (case 178)": ("secret-1", "${SNAPSHOT.name}", "Problem"),
    "the request's namespace": ("s", "${SNAPSHOT.namespace}", "shop/s"),
    "the content": ("${SNAPSHOTcontent.name}", "${SNAPSHOTcontent.name}", "content-1/content-1"),
    "upper case in the namespace (case 178)": ("secret-1", "NS", "Problem"),
}


@pytest.mark.parametrize("kind", ["volumesnapshot", "volumegroupsnapshot"])
@pytest.mark.parametrize(("name", "namespace", "expected"), ANY_SECRET.values(), ids=ANY_SECRET.keys())
def test_a_class_names_the_secret_for_cutting(
    kind: str, name: str | None, namespace: str | None, expected: str
) -> None:
    """Cases of the snapshot-controller, for requests of both kinds."""
    single = kind == "volumesnapshot"
    keys = (
        (names.SNAPSHOTTER_SECRET_NAME, names.SNAPSHOTTER_SECRET_NAMESPACE)
        if single
        else (names.GROUP_SNAPSHOTTER_SECRET_NAME, names.GROUP_SNAPSHOTTER_SECRET_NAMESPACE)
    )
    written = {
        key: value.replace("SNAPSHOT", kind) for key, value in zip(keys, (name, namespace), strict=True) if value
    }
    secret_for = snapshotter_secret if single else group_snapshotter_secret
    found = secret_for(written, content="content-1", namespace="shop", snapshot="nightly")
    assert (f"{found.namespace}/{found.name}" if isinstance(found, SecretRef) else type(found).__name__) == expected

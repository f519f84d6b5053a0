"""Reads a command line in Go's syntax, and the environment, into settings, as upstream's programs take them."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields
from importlib.metadata import version
from typing import Any, TypeVar

from snapshotter.settings.forms import BadValue, Flag, boolean

Settings = TypeVar("Settings")


def parse(program: str, settings: type[Settings], arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings that a command line gives, and the environment where a field says so.

    Exits with 2 and the usage when a flag is unknown or its value unreadable; with 0 after help and version.
    """
    flags = {flag.name: flag for flag in _flags(settings)}
    given = vars(_parser(program, settings).parse_args(list(_normal(flags, arguments))))
    for name in given:
        if note := flags[name].note:
            print(f"{program}: warning: {note}", file=sys.stderr)  # noqa: T201 (the log is not set up yet)

    def values(topic: Any) -> Iterator[tuple[str, Any]]:
        for field in fields(topic.type):
            if (flag := _flag(field)) is None:
                yield field.name, environment.get(field.metadata["variable"], "")
            elif flag.name in given:
                yield field.name, tuple(given[flag.name]) if flag.accumulates else given[flag.name]

    return settings(**{topic.name: topic.type(**dict(values(topic))) for topic in _topics(settings)})


def _normal(flags: dict[str, Flag], arguments: Sequence[str]) -> Iterator[str]:
    """The arguments as `--flag=value`. Like Go, reading stops at the first argument that is not a flag."""
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("-") or argument in ("-", "--"):
            return
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        flag = flags.get(name)
        if name in ("h", "help"):
            yield "--help"
        elif name == "version":
            if _asked_for(value if equals else "true"):
                yield "--version"
        elif flag is None:
            yield argument
        elif equals:
            yield f"--{name}={value}"
        elif flag.parse is boolean:
            yield f"--{name}=true"
        elif (following := next(waiting, None)) is not None:
            yield f"--{name}={following}"
        else:
            yield f"--{name}"


def _asked_for(text: str) -> bool:
    try:
        return boolean(text)
    except BadValue:
        return True


def _parser(program: str, settings: type[Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [flags]",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=40, width=110),
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"{program} {version('snapshotter')}",
        help="Print the version.",
    )
    for topic in _topics(settings):
        group = parser.add_argument_group((topic.type.__doc__ or "").rstrip("."))
        for flag in filter(None, map(_flag, fields(topic.type))):
            group.add_argument(
                f"--{flag.name}",
                dest=flag.name,
                action="extend" if flag.accumulates else "store",
                type=_reader(flag),
                metavar="VALUE",
                help=f"{flag.help} (default: {flag.shown_default or 'empty'})".replace("%", "%%"),
            )
    return parser


def _reader(flag: Flag) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return flag.parse(text)
        except BadValue as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _topics(settings: type[Any]) -> Iterator[Any]:
    return iter(fields(settings))


def _flags(settings: type[Any]) -> Iterator[Flag]:
    for topic in _topics(settings):
        yield from filter(None, map(_flag, fields(topic.type)))


def _flag(field: Field[Any]) -> Flag | None:
    flag: Flag | None = field.metadata.get("flag")
    return flag

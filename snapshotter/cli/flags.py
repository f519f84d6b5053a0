"""Reads a command line in Go's syntax into settings, as upstream's programs take it."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import Any, TypeVar

from snapshotter.settings import BadValue, Flag, boolean

Settings = TypeVar("Settings")


def parse(program: str, settings: type[Settings], arguments: Sequence[str]) -> Settings:
    """The settings that a command line gives.

    Exits with 2 and the usage when a flag is unknown or its value unreadable; with 0 after help and version.
    """
    flags = {flag.name: flag for flag in _flags(settings)}
    given = vars(_parser(program, settings).parse_args(list(_normal(flags, arguments))))
    for name in given:
        if note := flags[name].note:
            print(f"{program}: warning: {note}", file=sys.stderr)  # noqa: T201 (the log is not set up yet)
    return settings(
        **{
            topic.name: topic.type(
                **{
                    field.name: given[field.metadata["flag"].name]
                    for field in fields(topic.type)
                    if field.metadata["flag"].name in given
                }
            )
            for topic in _topics(settings)
        }
    )


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
        for field in fields(topic.type):
            flag: Flag = field.metadata["flag"]
            group.add_argument(
                f"--{flag.name}",
                dest=flag.name,
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
        for field in fields(topic.type):
            yield field.metadata["flag"]

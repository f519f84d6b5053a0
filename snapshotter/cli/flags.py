"""Reads a command line in Go's syntax, and the environment, into settings, as upstream's programs take them."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from snapshotter import __version__
from snapshotter.settings.forms import BadValue, Flag, boolean

Settings = TypeVar("Settings")


def parse(program: str, settings: type[Settings], arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings that a command line gives, and the environment where a field says so.

    Exits with 2 and the usage when a flag is unknown or its value unreadable; with 0 after help and version.
    """
    flags = {flag.name: flag for flag in _flags(settings)}
    unread: list[str] = []
    parser = _parser(program, settings)
    read, unknown = parser.parse_known_args(list(_normal(flags, arguments, unread)))
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], flags)}")
    given = vars(read)
    notes = [note for name in given if (note := flags[name].note)]
    if unread:
        notes.append(f'"{unread[0]}" is not a flag, so this and all that follows is ignored: {" ".join(unread)}')
    for note in notes:
        print(f"{program}: warning: {note}", file=sys.stderr)  # noqa: T201 (the log is not set up yet)

    def values(topic: Any) -> Iterator[tuple[str, Any]]:
        for field in fields(topic.type):
            if (flag := _flag(field)) is None:
                yield field.name, environment.get(field.metadata["variable"], "")
            elif flag.name in given:
                yield field.name, tuple(given[flag.name]) if flag.accumulates else given[flag.name]

    return settings(**{topic.name: topic.type(**dict(values(topic))) for topic in _topics(settings)})


def _meant(unknown: str, flags: Iterable[str]) -> str:
    """A word about the flag that is most like an unknown one."""
    name = unknown.lstrip("-").partition("=")[0]
    if not name:
        return ""
    known = sorted(flags)
    found = [each for each in known if each.startswith(name.lower())] or get_close_matches(name.lower(), known, 1)
    return f" (did you mean --{found[0]}?)" if found else ""


def _normal(flags: dict[str, Flag], arguments: Sequence[str], unread: list[str]) -> Iterator[str]:
    """The arguments as `--flag=value`. Like Go, reading stops at the first argument that is not a flag.

    That one and what follows is put into `unread`, unless two dashes say that nothing more is meant to be read.
    """
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("-") or argument in ("-", "--"):
            unread += [] if argument == "--" else [argument, *waiting]
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
        version=f"{program} {__version__}",
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

"""Set-up of logging: structlog on standard error, as text for people or one JSON object per line."""

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["text", "json"]

DEBUG_VERBOSITY = 4
"""From this `-v` on, each step is logged."""
PAYLOAD_VERBOSITY = 5
"""From this `-v` on, the requests to the driver and its answers are logged, without their secrets."""

LONGEST_VALUE = 1000
"""Characters of a text in a log line. What an object or a driver names may be megabytes long."""


def cut_long_texts(_logger: object, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A processor that cuts long texts; lists and the like, such as payloads, are left as they are."""
    for key, value in entry.items():
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            entry[key] = f"{value[:LONGEST_VALUE]}... ({len(value):,} characters)"
    return entry


def set_up(log_format: LogFormat, verbosity: int) -> None:
    """Configure logging for the process, that of libraries included."""
    level = logging.DEBUG if verbosity >= DEBUG_VERBOSITY else logging.INFO
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        cut_long_texts,
        # Frames only, never the values of variables: secrets may be among them.
        structlog.processors.format_exc_info,
    ]
    render: list[structlog.typing.Processor]
    if log_format == "json":
        render = [structlog.processors.EventRenamer("msg"), structlog.processors.JSONRenderer()]
    else:
        render = [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
            ],
        )
    )
    # gRPC tells of every answer that it cannot read, with a traceback; we tell of it ourselves.
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)

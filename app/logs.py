"""JSON logs, one record a line on standard error.

No record holds a picture, a template, a score, a name, an external id, a file name or a key: an
error is logged by its type and where it was raised, because its message may quote what it met.
"""

import logging
import logging.config
import traceback
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

_ROOT = Path(__file__).parent.parent
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_logs(level: str) -> None:
    """Send the service's own records and those of its libraries through one JSON formatter."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [structlog.stdlib.add_logger_name, *_SHARED],
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        _without_traceback,
                        structlog.processors.JSONRenderer(),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "uvicorn": {"handlers": [], "propagate": True},
                "uvicorn.error": {"handlers": [], "propagate": True},
                # `app.edge.context` writes a line a request, without the query string.
                "uvicorn.access": {"handlers": [], "propagate": False},
                "alembic": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},  # writes whole addresses, with names in them
                "python_multipart": {"level": "ERROR"},  # warnings quote what was sent
            },
        }
    )


def get_logger() -> FilteringBoundLogger:
    """Give the logger that every module uses."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def describe_error(error: BaseException) -> dict[str, Any]:
    """Describe an error for a record: its type and where it came through, not its message."""
    frames = traceback.extract_tb(error.__traceback__)
    described: dict[str, Any] = {
        "error": type(error).__qualname__,
        "stack": [f"{_shortened(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }
    # The driver's errors carry the server's code, which names the cause without quoting data.
    if sqlstate := getattr(getattr(error, "orig", error), "sqlstate", None):
        described["sqlstate"] = sqlstate
    return described


def _shortened(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(_ROOT):
        return str(path.relative_to(_ROOT))
    return "/".join(path.parts[-2:])


def _without_traceback(_logger: Any, _method: str, record: Any) -> Any:
    """Replace a library's traceback, whose last line is the message, by type and places."""
    if exc_info := record.pop("exc_info", None):
        error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
        if isinstance(error, BaseException):
            record |= describe_error(error)
    return record

"""Time in the warehouse: aware UTC in Python, UTC without a zone in the columns."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present time, aware, in UTC."""
    return datetime.now(UTC)


def naive_utc(time: datetime) -> datetime:
    """``time`` as the columns hold it. ValueError for a time that does not say its zone."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time.astimezone(UTC).replace(tzinfo=None)


def aware_utc(time: datetime) -> datetime:
    """A column's time as Python's records hold it."""
    return time.replace(tzinfo=UTC)

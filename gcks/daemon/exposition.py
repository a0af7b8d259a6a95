"""The text of /metrics, rendered one metric at a time: a thousand groups have many lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class Exposition:
    """Renders a registry on the event loop, and lets others run between two metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._one = asyncio.Lock()

    async def render(self) -> bytes:
        """Return the page; one is rendered at a time."""
        parts: list[bytes] = []
        async with self._one:
            for metric in self._registry.collect():
                parts.append(generate_latest(_Only(metric)))
                await asyncio.sleep(0)
        return b"".join(parts)


class _Only(Collector):
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric

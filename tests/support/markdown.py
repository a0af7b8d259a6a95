"""Blocks in Markdown: what documents show of files and commands."""

from __future__ import annotations

import re

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

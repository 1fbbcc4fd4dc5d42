"""The HTTP API for machines: parse, call one service, answer."""

from __future__ import annotations

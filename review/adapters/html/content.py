"""The whole report as sections of blocks, in their order."""

from __future__ import annotations

from typing import Any

from review.adapters.html import closing, contract_parts, evidence, opening, people
from review.adapters.html.blocks import Banner, Node, Section


def content(document: dict[str, Any]) -> tuple[Node, Banner, list[Section]]:
    """The document as a node, the verdict on top, and the sections."""
    node = Node(document)
    sections = [
        opening.compared(node),
        evidence.gate(node),
        contract_parts.tolerance(node),
        contract_parts.failures(node),
        contract_parts.direction(node),
        people.tone(node),
        people.calibration(node),
        people.agreement(node),
        evidence.slices(node),
        evidence.benchmarks(node),
        evidence.adversarial(node),
        closing.still_open(node),
        closing.method(node),
        closing.reproduce(node),
    ]
    return node, opening.verdict(node), [each for each in sections if each is not None]

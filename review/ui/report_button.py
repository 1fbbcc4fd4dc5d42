"""The report as a file to save: made when it is asked for, by whoever sees the page it stands on."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from review.errors import ReviewError
from review.services import report
from review.services.report import Asked
from review.services.workspace import Workspace


def show(workspace: Workspace, actor: str, asked: Asked) -> None:
    """Two buttons: the report as one HTML file, and the same without texts and names."""

    def made(redact: bool) -> bytes:
        try:
            document = report.of_workspace(workspace, actor, replace(asked, redact=redact))
        except ReviewError as error:
            return f"The report could not be made: {error}\n".encode()
        return report.rendered(document, "html").encode()

    with st.container(horizontal=True):
        st.download_button(
            "Report (HTML)",
            lambda: made(False),
            "parity.html",
            "text/html",
            icon=":material/description:",
            on_click="ignore",
            help="One file: verdict, evidence, examples, methods. Needs no network, prints well, takes no look.",
        )
        st.download_button(
            "Report without texts and names",
            lambda: made(True),
            "parity-redacted.html",
            "text/html",
            icon=":material/visibility_off:",
            on_click="ignore",
            help="The same numbers; texts of prompts, answers and comments, and people's names, are left out.",
        )

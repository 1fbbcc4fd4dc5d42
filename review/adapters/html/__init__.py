"""A report's document as a self-contained HTML page, and as Markdown; both say the same numbers."""

from review.adapters.html.markdown import markdown
from review.adapters.html.page import page

__all__ = ["markdown", "page"]

"""A small table to read: cells are text, nothing in them is markup.

It stands where `st.dataframe` would show a few rows that nobody sorts or picks: that one brings a grid and Arrow into
the browser at every visit, 0.2 s of processor time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamlit.components.v2 import component

_mount = component(
    "review_table",
    css="""
    .room { overflow-x: auto; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
    table { width: 100%; border-collapse: collapse; font: 0.875rem/1.5 var(--st-font); color: var(--st-text-color); }
    th, td { padding: 0.35rem 0.75rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
    th { font-weight: 400; opacity: 0.65; white-space: nowrap; }
    td { border-top: 1px solid var(--st-border-color); }
    """,
    js="""export default function ({ data: [{ columns, rows }], parentElement }) {
        const row = (kind, texts) => {
            const made = document.createElement("tr");
            for (const text of texts) made.appendChild(document.createElement(kind)).textContent = text;
            return made;
        };
        const table = document.createElement("table");
        table.createTHead().append(row("th", columns));
        table.createTBody().append(...rows.map((texts) => row("td", texts)));
        let room = parentElement.querySelector(".room");
        if (!room) {
            room = parentElement.appendChild(document.createElement("div"));
            room.className = "room";
            room.tabIndex = 0;
        }
        room.replaceChildren(table);
    }""",
)


def show(rows: Sequence[Mapping[str, str]], key: str) -> None:
    """Show rows of one and the same columns; `key` is unique on the page."""
    columns = list(rows[0]) if rows else []
    cells = [[row[name] for name in columns] for row in rows]
    # In a list, because Streamlit looks through a dict for data frames, and imports pandas for it.
    _mount(key=f"table_{key}", data=[{"columns": columns, "rows": cells}])

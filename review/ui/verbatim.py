"""Text exactly as it is, in a fixed width, with a button that copies it: commands, and what people and models wrote.

It stands where `st.code` would. That one loads grammars of 290 languages into the browser at every visit, 0.3 s of
processor time, also where none is wanted.
"""

from __future__ import annotations

from streamlit.components.v2 import component

_mount = component(
    "review_verbatim",
    css="""
    .box { position: relative; border-radius: var(--st-base-radius); background: var(--st-secondary-background-color); }
    pre { margin: 0; padding: 0.9rem 3rem 0.9rem 1rem; overflow-x: auto; font: 0.875rem/1.6 var(--st-code-font);
        color: var(--st-text-color); tab-size: 4; }
    .wrapped pre { white-space: pre-wrap; overflow-wrap: anywhere; }
    button { position: absolute; top: 0.45rem; right: 0.45rem; padding: 0.15rem 0.45rem; cursor: pointer; opacity: 0.55;
        font: 0.75rem/1.6 var(--st-font); color: var(--st-text-color); background: var(--st-background-color);
        border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
    button:hover, button:focus-visible { opacity: 1; border-color: var(--st-primary-color); }
    """,
    js="""export default function ({ data: [{ text, wrapped }], parentElement }) {
        let box = parentElement.querySelector(".box");
        if (!box) {
            box = parentElement.appendChild(document.createElement("div"));
            box.append(document.createElement("pre"), document.createElement("button"));
        }
        const [shown, button] = box.children;
        box.className = wrapped ? "box wrapped" : "box";
        shown.textContent = text;
        button.type = "button";
        button.textContent = "Copy";
        button.onclick = async () => {
            // Without a secure address there is no clipboard: then the text is selected, for the person to copy.
            try {
                await navigator.clipboard.writeText(text);
                button.textContent = "Copied";
                setTimeout(() => { button.textContent = "Copy"; }, 1500);
            } catch {
                getSelection().selectAllChildren(shown);
            }
        };
    }""",
)


def show(text: str, key: str, *, wrapped: bool = False) -> None:
    """Show `text` as it is; nothing in it is read as markup.

    Args:
        text: Foreign text or our own.
        key: Unique on the page.
        wrapped: Break long lines instead of scrolling.
    """
    # In a list, because Streamlit looks through a dict for data frames, and imports pandas for it.
    _mount(key=f"verbatim_{key}", data=[{"text": text, "wrapped": wrapped}])

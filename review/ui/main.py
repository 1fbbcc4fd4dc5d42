"""The script that Streamlit runs for every visit: navigation, then the chosen page."""

from review.ui import shell

shell.navigate()

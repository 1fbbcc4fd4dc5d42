"""Home: where do I stand, what next."""

import streamlit as st

from review.ui import shell

session = shell.page("home.py")
st.title("Parity review")

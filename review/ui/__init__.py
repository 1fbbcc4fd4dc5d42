"""What pages share: the shell, the review card, charts. The only package below pages/ that knows Streamlit."""

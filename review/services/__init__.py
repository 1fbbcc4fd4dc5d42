"""What the product does, one module a verb: functions over a workspace, no classes, no Streamlit, no SQL."""

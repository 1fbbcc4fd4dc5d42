"""The only place with DuckDB and SQL."""

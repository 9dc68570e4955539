"""The steps by which the index's tables came to be, for alembic; run when an index is opened."""

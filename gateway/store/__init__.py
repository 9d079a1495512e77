"""PostgreSQL and objects: what is kept, and where."""

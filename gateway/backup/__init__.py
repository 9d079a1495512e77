"""Backups of a whole deployment, and their restore: database, objects and the home's own files."""

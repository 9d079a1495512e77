"""The embedded servers: Triton and PostgreSQL from their wheels, api and worker beside them."""

"""Pages for people: rendered here, served by ``gateway.api.ui``, no build step."""

"""The HTTP server: routes, handlers, middlewares."""

"""OpenID Connect: bearer tokens of one issuer, and signing in with it."""

"""Webhooks: what is sent, how it is signed, to which addresses, and the loop that sends it."""

"""TLS of our own listeners: certificate, key, and whose clients are let in."""

from __future__ import annotations

import ssl

from gateway.exceptions import UsageError


def server_context(prefix: str, certificate: str, key: str, client_ca: str) -> ssl.SSLContext:
    """Make the context of a listener: TLS 1.2 and later, as BCP 195 asks.

    Parameters
    ----------
    prefix : str
        Of the settings' names, for the sentence that says what is wrong.
    certificate, key : str
        PEM files; an empty key means that the certificate's file has it.
    client_ca : str
        PEM file; a peer without a certificate of it is refused. Empty lets everybody in.

    Raises
    ------
    UsageError
        When a file is missing or makes no sense.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key or None, password=_no_password)
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The certificate, key or CA of {prefix}… cannot be used: {error}."
        ) from error
    return context


def pinned_context(certificate: str) -> ssl.SSLContext:
    """Make the context of a client that knows its server by one certificate, whatever its name.

    Raises
    ------
    UsageError
        When the file is missing or makes no sense.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"The certificate {certificate} cannot be used: {error}.") from error
    return context


def _no_password() -> str:
    """Refuse an encrypted key instead of asking at the terminal."""
    raise ssl.SSLError("the key is encrypted")

"""Who may talk to the server, and how the robot knows that it is the right one: token and TLS."""

from __future__ import annotations

import errno
import hmac
import os
import ssl
import stat
from pathlib import Path
from urllib.parse import urlsplit

from mobile_vla_ros.files import text_of
from mobile_vla_ros.serving.errors import ServingError

SHORTEST_TOKEN = 8
LONGEST_TOKEN = 4096
_LOOPBACK = ("127.", "::1", "localhost")


def read_token(path: str | Path | None) -> str:
    """The token in a file; '' without one.

    Raises:
        ServingError: the file cannot be read, or what it holds is no token.
    """
    if not path:
        return ""
    try:
        token = text_of(path, "ascii")[: LONGEST_TOKEN + 2].strip()
    except OSError as error:
        raise ServingError(f"token file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ServingError(f"token file {path}: a token is plain letters and digits") from error
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isprintable():
        raise ServingError(
            f"token file {path}: a token has {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters on one"
            f" line; make one with: python3 -c 'import secrets; print(secrets.token_hex(16))'"
        )
    if " " in token:
        raise ServingError(f"token file {path}: a token has no spaces in it")
    return token


def allowed(token: str, header: str | None) -> bool:
    """Whether an ``Authorization`` header carries the token; compared in constant time."""
    if not token:
        return True
    given = (header or "").encode("utf-8", "replace")
    return hmac.compare_digest(given, f"Bearer {token}".encode())


def authorization(token: str) -> dict[str, str]:
    """The header that carries the token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host == "localhost" or host.startswith(_LOOPBACK[0]) or host == "::1"


def check_exposure(host: str, token: str) -> None:
    """Refuses to listen beyond this machine without a token.

    Raises:
        ServingError: it would.
    """
    if not token and not is_loopback(host):
        raise ServingError(
            f"without --token-file it listens on this machine only (127.0.0.1), not on {host}: "
            "anybody in the network could use it"
        )


def server_context(certificate: str | Path | None, key: str | Path | None):
    """TLS of a server, or None without a certificate.

    Args:
        certificate: PEM file with the certificate (and its chain).
        key: PEM file with its private key; by default the certificate's file holds it too.

    Raises:
        ServingError: a file is missing or they do not belong together.
    """
    if not certificate:
        if key:
            raise ServingError("--key needs --certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for path in (certificate, key or certificate):
            _check_file(path)
        context.load_cert_chain(certificate, key or None)
    except ssl.SSLError as error:
        raise ServingError(
            f"certificate {certificate} and its key cannot be used: {error.reason or error}"
        ) from error
    except OSError as error:
        where = error.filename or key or certificate
        raise ServingError(f"certificate {where}: {error.strerror}") from error
    return context


def _check_file(path: str | Path) -> None:
    """Raises OSError for what the TLS library would wait for, or read for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.ESPIPE, "it is a folder, pipe, socket or device", str(path))


def client_context(url: str, authority: str | Path | None):
    """TLS of a robot's link: the server's name is always checked. None for ``ws://``.

    Args:
        url: of the server.
        authority: CA file (or the server's own certificate) to trust; by default the system's.

    Raises:
        ServingError: the file cannot be used, or it was given for ``ws://``.
    """
    if urlsplit(url).scheme != "wss":
        if authority:
            raise ServingError(f"server_certificate is given, but {url} is not wss://")
        return None
    try:
        if authority:
            _check_file(authority)
        return ssl.create_default_context(cafile=str(authority) if authority else None)
    except ssl.SSLError as error:
        raise ServingError(f"{authority} holds no certificate: {error.reason or error}") from error
    except OSError as error:
        raise ServingError(f"server certificate {authority}: {error.strerror}") from error


def check_url(url: str) -> str:
    """The address of a server, checked.

    Returns:
        ``url`` with a path of its own where it has none.

    Raises:
        ServingError: it is no ``ws://`` or ``wss://`` address.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ServingError(f"server '{url}': {error}") from error
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ServingError(
            f"server '{url}' is no address: write it like wss://gpu-box:8765 (ws:// without TLS)"
        )
    if parts.username or parts.password:
        raise ServingError("a server's address holds no password: use token_file")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or 8765}{parts.path or '/'}"

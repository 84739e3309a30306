"""The page's files, and the headers that every answer carries."""

from __future__ import annotations

import hashlib
from importlib.resources import files

KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_VERSION = b"@VERSION@"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Cache-Control": "no-store",
}


class StaticFiles:
    """The files, read once.

    Attributes:
        version: changes with any of them; the page shows it when it connects.
        headers: of every answer.
    """

    def __init__(self) -> None:
        folder = files("mobile_vla_ros.web").joinpath("static")
        self._files: dict[str, tuple[bytes, str]] = {}
        digest = hashlib.sha256()
        for file in sorted(folder.iterdir(), key=lambda one: one.name):
            kind = KINDS.get("." + file.name.rpartition(".")[2])
            if kind is not None:
                body = file.read_bytes()
                digest.update(file.name.encode() + b"\0" + body)
                self._files[file.name] = (body, kind)
        self.version = digest.hexdigest()[:12]
        self.headers = HEADERS
        body, kind = self._files["index.html"]
        self._files["index.html"] = (body.replace(_VERSION, self.version.encode()), kind)

    def get(self, name: str) -> tuple[bytes, str] | None:
        """(content, type) of a file; None when there is none of that name."""
        return self._files.get(name)

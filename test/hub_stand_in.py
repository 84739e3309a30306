"""A stand-in for a hub, on the loopback address: the few calls that huggingface_hub makes.

It is no hub and says so (the header `X-Hub: stand-in`). It keeps repositories in memory, with
commits, branches, large files (LFS) and one token; it can break off answers and lose uploads, and
it writes down what it was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_loopbackStandInTokenThatOpensNothing"
SMALL = 512  # larger files go the way of LFS
_REPOSITORY = r"(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"


@dataclass
class Repository:
    """Commits (path -> content) in order, and where branches point."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        there = dict(self.commits.get(self.branches.get(branch, ""), {}))
        there.update(files)
        said = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in there.items()})
        sha = hashlib.sha1(f"{len(self.commits)} {said}".encode()).hexdigest()
        self.commits[sha] = there
        self.branches[branch] = sha
        return sha


class StandIn:
    """The server; a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.break_after: int | None = None  # bytes of a large file's next answer
        self.lose_uploads = 0  # of large files, that are answered with 500
        stand_in = self

        class Handler(_Handler):
            hub = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def repository(self, name: str, kind: str = "models", private: bool = False) -> Repository:
        return self.repositories.setdefault(f"{kind}/{name}", Repository(private))

    def __enter__(self) -> StandIn:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        routes = (
            (r"^/api/repos/create$", self._create),
            (r"^/api/validate-yaml$", self._check_card),
            (rf"^/api/{_REPOSITORY}/preupload/(?P<revision>.+)$", self._preupload),
            (rf"^/api/{_REPOSITORY}/commit/(?P<revision>.+)$", self._commit),
            (rf"^/api/{_REPOSITORY}/tree/(?P<revision>[^/]+)(/.*)?$", self._tree),
            (rf"^/api/{_REPOSITORY}(/revision/(?P<revision>.+))?$", self._info),
            (r"^/(datasets/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch$", self._batch),
            (r"^/lfs/(?P<digest>[0-9a-f]{64})$", self._upload),
            (
                r"^/(datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)$",
                self._resolve,
            ),
        )
        for pattern, route in routes:
            found = re.match(pattern, path)
            if found:
                route(found.groupdict(), body)
                return
        self._json({"error": "the stand-in does not know this call"}, 404)

    def _allowed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _find(self, names: dict[str, str]) -> tuple[Repository, str] | None:
        """The repository and the commit meant, or None after an answer that says why not."""
        kind = names.get("kind") or ("datasets" if "/datasets/" in self.path else "models")
        repository = self.hub.repositories.get(f"{kind}/{names['name']}")
        wrong = self.headers.get("Authorization") and not self._allowed()
        if repository is None or wrong or (repository.private and not self._allowed()):
            self._json({"error": "Invalid username or password."}, 401, "RepoNotFound")
            return None
        revision = names.get("revision") or "main"
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            self._json({"error": "Invalid rev id"}, 404, "RevisionNotFound")
            return None
        return repository, commit

    def _create(self, names: dict[str, str], body: bytes) -> None:
        if not self._allowed():
            self._json({"error": "Invalid username or password."}, 401)
            return
        wanted = json.loads(body)
        kind = f"{wanted.get('type') or 'model'}s"
        name = f"{wanted['organization']}/{wanted['name']}"
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        repository = self.hub.repository(name, kind, private)
        if not repository.commits:
            repository.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _check_card(self, names: dict[str, str], body: bytes) -> None:
        front = json.loads(body)["content"].split("---")
        wrong = [] if len(front) > 2 else [{"message": "no front matter"}]
        self._json({"errors": wrong, "warnings": []}, 400 if wrong else 200)

    def _info(self, names: dict[str, str], body: bytes) -> None:
        found = self._find(names)
        if found:
            files = [{"rfilename": name} for name in sorted(found[0].commits[found[1]])]
            self._json({"id": names["name"], "sha": found[1], "siblings": files, "tags": []})

    def _tree(self, names: dict[str, str], body: bytes) -> None:
        found = self._find(names)
        if not found:
            return
        rows = []
        for name, data in sorted(found[0].commits[found[1]].items()):
            row = {"type": "file", "path": name, "size": len(data), "oid": _git_id(data)}
            if len(data) > SMALL:
                digest = hashlib.sha256(data).hexdigest()
                row["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
            rows.append(row)
        self._json(rows)

    def _preupload(self, names: dict[str, str], body: bytes) -> None:
        if not self._allowed():
            self._json({"error": "Invalid username or password."}, 401)
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] > SMALL else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._json({"files": files, "commitOid": None})

    def _batch(self, names: dict[str, str], body: bytes) -> None:
        objects = []
        for wanted in json.loads(body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            if wanted["oid"] not in self.hub.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, names: dict[str, str], body: bytes) -> None:
        if self.hub.lose_uploads:
            self.hub.lose_uploads -= 1
            self._json({"error": "lost"}, 500)
            return
        if hashlib.sha256(body).hexdigest() != names["digest"]:
            self._json({"error": "another content"}, 400)
            return
        self.hub.objects[names["digest"]] = body
        self._json({})

    def _commit(self, names: dict[str, str], body: bytes) -> None:
        if not self._allowed():
            self._json({"error": "Invalid username or password."}, 401)
            return
        repository = self.hub.repositories[f"{names['kind']}/{names['name']}"]
        files: dict[str, bytes] = {}
        for line in filter(None, body.splitlines()):
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        sha = repository.commit(files, names.get("revision") or "main")
        url = f"{self.hub.url}/{names['name']}/commit/{sha}"
        self._json({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _resolve(self, names: dict[str, str], body: bytes) -> None:
        found = self._find(names)
        if not found:
            return
        data = found[0].commits[found[1]].get(names["file"])
        if data is None:
            self._json({"error": "Entry not found"}, 404, "EntryNotFound")
            return
        large = len(data) > SMALL
        start = 0
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked:
            start = int(asked[1])
        etag = hashlib.sha256(data).hexdigest() if large else _git_id(data)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", found[1])
        self.send_header("X-Hub", "stand-in")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if large and self.hub.break_after is not None:
            self.wfile.write(data[start : start + self.hub.break_after])
            self.hub.break_after = None
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data[start:])

    def _json(self, value: object, status: int = 200, code: str = "") -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Hub", "stand-in")
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

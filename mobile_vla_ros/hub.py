"""Policies and data sets on a hub: ``hf://ORG/NAME[@revision]`` wherever a path may stand.

huggingface_hub does the work, with its cache, its offline mode (HF_HUB_OFFLINE) and its tokens
(HF_TOKEN, or what ``hf auth login`` keeps). A path in its cache says which repository and which
commit it is of, so whoever writes down a file's hash can write that down too (``origin_of``).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros import bundled
from mobile_vla_ros.errors import InputError

MODEL = "model"
DATASET = "dataset"
# One slash is what is left of two after a path has been made of it.
_MARK = re.compile(r"^hf:/{1,2}(?=[^/])")
_KINDS = {"models": MODEL, "datasets": DATASET}
_NAME = re.compile(r"^[\w.-]{1,96}$")
_REVISION = re.compile(r"^[\w./-]{1,200}$")
_IN_CACHE = re.compile(r"^(models|datasets)--([\w.-]+?)--([\w.-]+)$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_TOKEN = re.compile(rb"hf_[A-Za-z0-9]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----")
_TEXT = {".json", ".jsonl", ".md", ".txt", ".yaml", ".yml", ".toml", ".py", ".csv", ".cfg", ""}
_LARGEST_TEXT = 20 << 20
_FETCHED: dict[str, None] = {}
# What it is called when the hub was not reached, in the HTTP libraries of several versions.
_NETWORK = {"ConnectError", "ConnectionError", "TimeoutException", "Timeout", "NetworkError"}
# Never sent: hidden files, keys, and what programs leave behind.
IGNORED = (".*", "*/.*", "**/.*", "*.pem", "*.key", "__pycache__/*", "*.part")


class HubError(InputError):
    """Something on a hub that cannot be had or sent; the sentence says why, and no secret."""


@dataclass(frozen=True)
class Address:
    """A repository on a hub.

    Attributes:
        repository: ``ORG/NAME``.
        kind: ``model`` or ``dataset``.
        revision: branch, tag or commit; empty for the main branch.
    """

    repository: str
    kind: str
    revision: str = ""

    def __str__(self) -> str:
        place = "datasets/" if self.kind == DATASET else ""
        at = f"@{self.revision}" if self.revision else ""
        return f"hf://{place}{self.repository}{at}"


def is_uri(path: str | Path) -> bool:
    """Whether it names something on a hub, even after it has been made a ``Path``."""
    return bool(_MARK.match(str(path)))


def parse(text: str | Path, kind: str = MODEL) -> Address:
    """Reads ``hf://ORG/NAME[@revision]`` or ``ORG/NAME[@revision]``.

    Args:
        text: the address; ``hf://datasets/...`` says the kind itself.
        kind: what it is otherwise.

    Raises:
        HubError: it is no such address.
    """
    place, at, revision = _MARK.sub("", str(text)).partition("@")
    parts = place.strip("/").split("/")
    if len(parts) == 3 and parts[0] in _KINDS:
        kind = _KINDS[parts.pop(0)]
    if len(parts) != 2 or not all(_NAME.match(part) and ".." not in part for part in parts):
        raise HubError(f"{str(text)!r} is no address on a hub; write hf://ORG/NAME[@revision]")
    if at and (not _REVISION.match(revision) or ".." in revision):
        raise HubError(f"{str(text)!r}: {revision!r} is no revision")
    return Address("/".join(parts), kind, revision)


def resolve(path: str | Path, kind: str = MODEL, say: Callable[[str], None] | None = None) -> Path:
    """A local path: what is on a hub is fetched into the cache.

    Args:
        path: a path, or an address with ``hf://``. For a model also ``demo``, the bundled policy,
            and a path relative to the package's share folder (``bundled.find``).
        kind: what an address is that does not say: ``model`` or ``dataset``.
        say: is told what was fetched and whether a branch has moved; by default stderr.

    Raises:
        HubError: it is not there, is not allowed, or the network is needed and not there.
    """
    if not is_uri(path):
        return bundled.find(path) if kind == MODEL else Path(path)
    return fetch(parse(path, kind), say)


def fetch(address: Address, say: Callable[[str], None] | None = None) -> Path:
    """Fetches a repository into the cache; an interrupted download goes on where it ended.

    Without a network, or in offline mode, the newest copy that is there whole is taken.

    Raises:
        HubError: see ``resolve``.
    """
    tell = say or _on_stderr
    hub = _library()
    revision = address.revision or "main"
    before = _known_commit(address, revision)
    with _sentences(address):
        commit = None
        if not _offline():
            commit = _newest(hub, address, revision, tell)
        folder = Path(
            hub.snapshot_download(
                address.repository,
                repo_type=address.kind,
                revision=revision,
                local_files_only=commit is None,
            )
        )
    if commit and before and before != commit and not _COMMIT.match(revision):
        tell(f"{address}: {revision} has moved from {before[:12]} to {commit[:12]}")
    origin = origin_of(folder)
    tell(f"{address} is {origin or folder}")
    _FETCHED.update({origin: None} if origin else {})
    return folder


def cached(path: str | Path, kind: str = MODEL) -> Path:
    """Where an address lies in the cache, without asking the hub; else as ``resolve``.

    The path does not exist where nothing has been fetched.
    """
    if not is_uri(path):
        return bundled.find(path) if kind == MODEL else Path(path)
    address = parse(path, kind)
    revision = address.revision or "main"
    commit = revision if _COMMIT.match(revision) else _known_commit(address, revision)
    return _cache_folder(address) / "snapshots" / (commit or "none")


def fetched() -> tuple[str, ...]:
    """What this process has fetched so far, as ``hf://ORG/NAME@COMMIT``, for its results."""
    return tuple(_FETCHED)


def origin_of(path: str | Path) -> str:
    """``hf://ORG/NAME@COMMIT`` of a path in the hub's cache; empty for any other path."""
    parts = Path(path).parts
    for place, name in enumerate(parts):
        found = _IN_CACHE.match(name)
        if not found or len(parts) <= place + 2 or parts[place + 1] != "snapshots":
            continue
        if _COMMIT.match(parts[place + 2]):
            repository = f"{found[2]}/{found[3]}"
            return str(Address(repository, _KINDS[found[1]], parts[place + 2]))
    return ""


def push(folder: str | Path, address: Address, *, private: bool, message: str) -> str:
    """Sends a folder as one commit; what the hub has already is not sent again.

    Args:
        folder: all of it goes, but for hidden files and keys.
        address: where to; the repository is made if it is missing.
        private: of a repository that is made.
        message: of the commit.

    Returns:
        ``hf://ORG/NAME@COMMIT`` of what is there now.

    Raises:
        HubError: a file holds a secret, the token is missing or wrong, or the hub says no.
    """
    place = Path(folder)
    if not place.is_dir():
        raise HubError(f"{place} is not a folder")
    _refuse_secrets(place)
    hub = _library()
    if _offline():
        raise HubError("HF_HUB_OFFLINE is set: nothing can be sent to a hub")
    with _sentences(address):
        api = hub.HfApi()
        api.create_repo(address.repository, repo_type=address.kind, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=address.repository,
            repo_type=address.kind,
            folder_path=str(place),
            revision=address.revision or None,
            commit_message=message,
            ignore_patterns=list(IGNORED),
        )
    commit = str(getattr(done, "oid", "") or "")
    return str(Address(address.repository, address.kind, commit or address.revision))


def _newest(hub: Any, address: Address, revision: str, tell: Callable[[str], None]) -> str | None:
    """The commit that the hub has now; None where no network is there but a copy may be."""
    try:
        info = hub.HfApi().repo_info(address.repository, repo_type=address.kind, revision=revision)
    except Exception as error:
        if not _is_network(error):
            raise
        tell(
            f"{address}: the hub cannot be reached; the copy in the cache is taken if it is whole"
        )
        return None
    return str(info.sha)


def _known_commit(address: Address, revision: str) -> str:
    """The commit that the cache holds for a branch or tag, or ''."""
    try:
        return (_cache_folder(address) / "refs" / revision).read_text().strip()
    except OSError:
        return ""


def _cache_folder(address: Address) -> Path:
    _library()
    from huggingface_hub import constants

    kind = "datasets" if address.kind == DATASET else "models"
    return Path(constants.HF_HUB_CACHE) / f"{kind}--{address.repository.replace('/', '--')}"


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise HubError(
            "hf:// addresses need huggingface_hub: pip install 'mobile_vla_ros[hub]'"
        ) from None
    # Its warnings quote addresses that are signed to allow an upload.
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    return huggingface_hub


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _is_network(error: BaseException) -> bool:
    """Whether the hub was not reached at all; huggingface_hub has changed its HTTP library."""
    return any(cls.__name__ in _NETWORK for cls in type(error).__mro__)


@contextlib.contextmanager
def _sentences(address: Address) -> Iterator[None]:
    """Turns what the library raises into one sentence that never quotes a request."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's errors have no common base
        raise HubError(_sentence(address, error)) from None


def _sentence(address: Address, error: BaseException) -> str:
    status = None
    names: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        names |= {cls.__name__ for cls in type(cause).__mro__}
        status = status or getattr(getattr(cause, "response", None), "status_code", None)
        cause = cause.__cause__
    token = "the token (HF_TOKEN, or `hf auth login`)"
    if "GatedRepoError" in names:
        return f"{address} is gated: ask for access on its page, then give {token}"
    if status == 401 or "LocalTokenNotFoundError" in names:
        return f"{address}: not there, or {token} is missing, wrong or not allowed to see it"
    if status == 403:
        return f"{address}: {token} does not allow this"
    if "RevisionNotFoundError" in names:
        return f"{address}: there is no such revision"
    if "RepositoryNotFoundError" in names:
        return f"{address}: not there, or {token} is missing, wrong or not allowed to see it"
    if names & {"IncompleteSnapshotError", "LocalEntryNotFoundError", "OfflineModeIsEnabled"}:
        return (
            f"{address}: no whole copy of it is in the cache, and the hub is not to be had (no "
            "network, or HF_HUB_OFFLINE is set); connect once and pull it"
        )
    if names & _NETWORK:
        return f"{address}: the connection to the hub broke; start again, it goes on from there"
    if status:
        return f"{address}: the hub answered with status {status}; try again later"
    if isinstance(error, OSError) and error.strerror:
        return f"{address}: {error.strerror}"
    return f"{address}: {type(error).__name__} from huggingface_hub"


def _refuse_secrets(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix not in _TEXT or not path.is_file():
            continue
        if path.stat().st_size <= _LARGEST_TEXT and _TOKEN.search(path.read_bytes()):
            raise HubError(f"{path} holds what looks like a token or a key; take it out first")


def _on_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def quiet_progress() -> None:
    """No progress bars from the library where nobody looks at a terminal."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

"""Fetching from and sending to a hub, against a stand-in on the loopback address that says so.

huggingface_hub reads its settings when it is imported, so each case is a process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_stand_in import TOKEN, StandIn

from mobile_vla_ros.hub import HubError, is_uri, origin_of, parse, resolve

BIG = np.random.default_rng(0).bytes(300_000)
FILES = {"config.json": b"{}", "model.safetensors": BIG}
PULL = "from mobile_vla_ros.hub import *; print(resolve({0!r}))"
PUSH = (
    "from mobile_vla_ros.hub import *; "
    "print(push({0!r}, parse({1!r}), private=True, message='a policy'))"
)


class Lab:
    """A machine with a cache and perhaps a token, before the stand-in."""

    def __init__(self, hub: StandIn, home: Path) -> None:
        self.hub = hub
        self.home = home
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("HF_") and "OFFLINE" not in name
            },
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def run(self, program: str, **more: str) -> subprocess.CompletedProcess:
        guarded = (
            "import sys\nfrom mobile_vla_ros.errors import InputError\n"
            f"try:\n    exec({program!r})\nexcept InputError as error:\n    sys.exit(str(error))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", guarded],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with StandIn() as hub:
        yield Lab(hub, tmp_path / "home")


def test_a_policy_is_fetched_and_says_what_it_is_of(lab: Lab) -> None:
    commit = lab.hub.repository("lab/policy").commit(FILES)
    done = lab.run(PULL.format("hf://lab/policy"))
    folder = Path(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    assert (folder / "model.safetensors").read_bytes() == BIG
    assert origin_of(folder) == f"hf://lab/policy@{commit}"
    assert f"is hf://lab/policy@{commit}" in done.stderr


def test_an_address_that_was_made_a_path_is_still_one(lab: Lab) -> None:
    lab.hub.repository("lab/data", "datasets").commit({"a.h5": BIG})
    program = (
        "from pathlib import Path; from mobile_vla_ros.hub import *; "
        "print(resolve(Path('hf://lab/data'), DATASET))"
    )
    done = lab.run(program)
    assert (Path(done.stdout.strip()) / "a.h5").read_bytes() == BIG
    assert "is hf://datasets/lab/data@" in done.stderr


def test_a_broken_download_goes_on_where_it_ended(lab: Lab) -> None:
    lab.hub.repository("lab/policy").commit(FILES)
    lab.hub.break_after = 100_000
    done = lab.run(PULL.format("hf://lab/policy"))
    if done.returncode:  # the library may go on by itself, or say that it broke
        assert "start again, it goes on from there" in done.stderr
        done = lab.run(PULL.format("hf://lab/policy"))
    assert (Path(done.stdout.strip()) / "model.safetensors").read_bytes() == BIG


def test_without_a_network_a_whole_copy_in_the_cache_is_taken(lab: Lab) -> None:
    commit = lab.hub.repository("lab/policy").commit(FILES)
    before = lab.run(PULL.format("hf://lab/policy")).stdout
    gone = lab.run(PULL.format("hf://lab/policy"), HF_ENDPOINT="http://127.0.0.1:9")
    assert gone.stdout == before
    assert "cannot be reached" in gone.stderr
    asked = len(lab.hub.asked)
    offline = lab.run(PULL.format(f"hf://lab/policy@{commit}"), HF_HUB_OFFLINE="1")
    assert offline.stdout == before
    assert len(lab.hub.asked) == asked


def test_without_a_network_or_a_copy_it_says_so(lab: Lab) -> None:
    lab.hub.repository("lab/policy").commit(FILES)
    for more in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        done = lab.run(PULL.format("hf://lab/policy"), **more)
        assert done.returncode == 1
        assert "no whole copy of it is in the cache" in done.stderr


def test_a_branch_that_moved_is_said(lab: Lab) -> None:
    repository = lab.hub.repository("lab/policy")
    first = repository.commit(FILES)
    lab.run(PULL.format("hf://lab/policy@main"))
    second = repository.commit({"config.json": b'{"new": 1}'})
    done = lab.run(PULL.format("hf://lab/policy@main"))
    assert f"main has moved from {first[:12]} to {second[:12]}" in done.stderr
    pinned = lab.run(PULL.format(f"hf://lab/policy@{first}"))
    assert (Path(pinned.stdout.strip()) / "config.json").read_bytes() == b"{}"


@pytest.mark.parametrize("token", ["", "hf_wrongTokenThatOpensNothingAtAll"])
def test_a_missing_or_wrong_token_ends_in_a_sentence_without_it(lab: Lab, token: str) -> None:
    lab.hub.repository("lab/secret", private=True).commit(FILES)
    more = {"HF_TOKEN": token} if token else {}
    done = lab.run(PULL.format("hf://lab/secret"), **more)
    assert done.returncode == 1
    assert "is missing, wrong or not allowed" in done.stderr
    assert not token or token not in done.stdout + done.stderr
    allowed = lab.run(PULL.format("hf://lab/secret"), HF_TOKEN=TOKEN)
    assert allowed.returncode == 0, allowed.stderr


def test_a_revision_that_does_not_exist_is_said(lab: Lab) -> None:
    lab.hub.repository("lab/policy").commit(FILES)
    done = lab.run(PULL.format("hf://lab/policy@v9"))
    assert "hf://lab/policy@v9: there is no such revision" in done.stderr


def test_what_is_sent_is_what_is_there_and_hidden_files_stay_home(
    lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, data in {**FILES, ".env": b"x", "server.key": b"y"}.items():
        (folder / name).write_bytes(data)
    done = lab.run(PUSH.format(str(folder), "lab/new"), HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    repository = lab.hub.repositories["models/lab/new"]
    commit = repository.branches["main"]
    assert done.stdout.strip() == f"hf://lab/new@{commit}"
    assert set(repository.commits[commit]) == {".gitattributes", *FILES}
    assert repository.private


def test_a_lost_upload_is_sent_again_and_what_arrived_is_not(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(BIG)
    (folder / "b.safetensors").write_bytes(BIG[::-1])
    lab.hub.lose_uploads = 50
    at_once = "import time; time.sleep = lambda s: None; "  # the library waits between tries
    done = lab.run(at_once + PUSH.format(str(folder), "lab/new"), HF_TOKEN=TOKEN)
    assert done.returncode == 1
    assert done.stderr == "hf://lab/new: the hub answered with status 500; try again later\n"
    assert "a.safetensors" not in lab.hub.repositories["models/lab/new"].commits
    lab.hub.lose_uploads = 0
    assert lab.run(PUSH.format(str(folder), "lab/new"), HF_TOKEN=TOKEN).returncode == 0
    lab.hub.asked.clear()
    assert lab.run(PUSH.format(str(folder), "lab/new"), HF_TOKEN=TOKEN).returncode == 0
    assert not any(call.startswith("PUT /lfs") for call in lab.hub.asked)


def test_sending_without_a_token_is_said(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    done = lab.run(PUSH.format(str(tmp_path / ""), "lab/new"))
    assert done.returncode == 1
    assert "is missing, wrong or not allowed" in done.stderr


def test_a_file_that_holds_a_token_is_not_sent(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "notes.txt").write_text(f"use {TOKEN} to push")
    done = lab.run(PUSH.format(str(folder), "lab/new"), HF_TOKEN=TOKEN)
    assert "holds what looks like a token or a key" in done.stderr
    assert lab.hub.asked == []


@pytest.mark.parametrize(
    "text", ["hf://a", "hf://a/b/c", "hf://a/../b", "hf://a/b@..", "hf://a/b@x y", "hf:///a/b"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(HubError):
        parse(text)


def test_a_plain_path_stays_as_it_is(tmp_path: Path) -> None:
    assert resolve(tmp_path) == tmp_path
    assert not is_uri(tmp_path)
    assert origin_of(tmp_path) == ""


def test_the_stand_in_says_that_it_is_one(lab: Lab) -> None:
    import urllib.request

    lab.hub.repository("lab/policy").commit(FILES)
    with urllib.request.urlopen(f"{lab.hub.url}/api/models/lab/policy") as answer:
        assert answer.headers["X-Hub"] == "stand-in"


def command(lab: Lab, *arguments: object, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "mobile_vla_ros.cli.main", *map(str, arguments)],
        env={**lab.environment, **more},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_policy_goes_to_the_hub_with_its_card_and_is_inspected_from_there(
    lab: Lab, tmp_path: Path
) -> None:
    from mobile_vla_ros.bundled import demo_policy

    policy = tmp_path / "policy"
    shutil.copytree(demo_policy(), policy)
    (policy / "README.md").unlink()
    result = {"success_rate": 0.9, "wilson": [0.7, 0.97], "successes": 18, "episodes": 20}
    (tmp_path / "eval.json").write_text(json.dumps(result))
    sent = command(
        lab,
        *("push", policy, "--to", "lab/demo", "--license", "apache-2.0"),
        *("--results", tmp_path / "eval.json"),
        HF_TOKEN=TOKEN,
    )
    assert sent.returncode == 0, sent.stderr
    commit = lab.hub.repositories["models/lab/demo"].branches["main"]
    card = lab.hub.repositories["models/lab/demo"].commits[commit]["README.md"].decode()
    assert 'license: "apache-2.0"' in card
    assert "18 of 20 drives reach the goal, 90% (95 % interval 70% to 97%)" in card
    assert "must not be used" in card
    seen = command(
        lab, "inspect", "hf://lab/demo", "--json", tmp_path / "out.json", HF_TOKEN=TOKEN
    )
    assert seen.returncode == 0, seen.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["kind"] == "converted"
    assert found["hub"] == [f"hf://lab/demo@{commit}"]


def test_a_folder_of_episodes_goes_to_the_hub_and_is_listed_from_there(
    lab: Lab, tmp_path: Path
) -> None:
    from mobile_vla_ros.episodes import EpisodeWriter

    folder = tmp_path / "lab"
    folder.mkdir()
    name = "episode_20250101_120000_1box_left.h5"
    with EpisodeWriter(folder / name, scenario="1box_left", instruction="go") as writer:
        for row in range(3):
            stamps = {f"{what}_stamp": row * 0.1 for what in ("image", "received", "action")}
            writer.append(image=np.full((8, 8, 3), row, np.uint8), action=[0, 0, 0], **stamps)
        writer.finish()
    sent = command(lab, "push", folder, "--to", "lab/drives", "--public", HF_TOKEN=TOKEN)
    assert sent.returncode == 0, sent.stderr
    listed = command(lab, "episodes", "list", "hf://lab/drives", "--files")
    assert listed.returncode == 0, listed.stderr
    assert "1box_left" in listed.stdout
    pulled = command(lab, "pull", "lab/drives", "--dataset")
    assert (Path(pulled.stdout.strip()) / name).exists()


def test_what_is_neither_policy_nor_data_is_not_sent(lab: Lab, tmp_path: Path) -> None:
    done = command(lab, "push", tmp_path, "--to", "lab/x", HF_TOKEN=TOKEN)
    assert done.returncode == 2
    assert "is neither a policy" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


SECRET = "hf_thisOneIsWrongButStillASecret123"


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("pull", "lab/secret"), {"HF_TOKEN": SECRET}),
        (("pull", f"https://me:{SECRET}@hub.example/lab/secret"), {}),
        (("inspect", f"https://me:{SECRET}@hub.example/lab/secret"), {}),
        (("pull", f"--{SECRET}"), {}),
        (("pull", "lab/secret"), {"HF_ENDPOINT": f"http://me:{SECRET}@127.0.0.1:9"}),
        (("push", "{folder}", "--to", "lab/new", "--note", f"by {SECRET}"), {"HF_TOKEN": TOKEN}),
    ],
)
def test_no_secret_gets_into_an_error_a_log_a_card_or_a_file(
    lab: Lab, tmp_path: Path, arguments: tuple[str, ...], more: dict[str, str]
) -> None:
    from mobile_vla_ros.bundled import demo_policy

    lab.hub.repository("lab/secret", private=True).commit(FILES)
    folder = tmp_path / "policy"
    if "{folder}" in arguments:
        shutil.copytree(demo_policy(), folder)
        (folder / "README.md").unlink()
    (tmp_path / "login").write_text(SECRET)  # as `hf auth login` keeps it
    given = [word.format(folder=folder) for word in arguments]
    kept = {} if "HF_TOKEN" in more else {"HF_TOKEN_PATH": str(tmp_path / "login")}
    done = command(lab, *given, **kept, **more)
    if "--note" in arguments:
        assert done.returncode == 0, done.stderr
        assert "by ***" in (folder / "README.md").read_text()
    else:
        assert done.returncode == 2, done.stdout
        assert done.stderr.strip().splitlines()[-1].startswith("mobile_vla: ")
    assert SECRET not in done.stdout + done.stderr
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "login":
            assert SECRET.encode() not in path.read_bytes(), path
    for repository in lab.hub.repositories.values():
        assert not any(
            SECRET.encode() in data
            for files in repository.commits.values()
            for data in files.values()
        )

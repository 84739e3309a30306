"""Tokens, addresses and certificates: what is wrong is said in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobile_vla_ros.serving import access
from mobile_vla_ros.serving.errors import ServingError


def test_a_token_is_the_file_s_one_word(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("  0123456789abcdef\n")
    assert access.read_token(path) == "0123456789abcdef"
    assert access.read_token(None) == ""


@pytest.mark.parametrize("content", ["", "short", "two words here", "한글로만쓴것들", "a" * 5000])
def test_what_is_no_token_is_refused_without_repeating_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(ServingError) as caught:
        access.read_token(path)
    assert not content or content not in str(caught.value)


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="nowhere"):
        access.read_token(tmp_path / "nowhere")


def test_only_the_whole_token_opens() -> None:
    assert access.allowed("secret-token", "Bearer secret-token")
    for header in (None, "", "secret-token", "Bearer secret", "Bearer secret-token ", "bearer é"):
        assert not access.allowed("secret-token", header)
    assert access.allowed("", None)


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("ws://gpu-box", "ws://gpu-box:8765/"),
        ("wss://gpu-box:9000", "wss://gpu-box:9000/"),
        ("ws://[::1]:9000", "ws://[::1]:9000/"),
    ],
)
def test_an_address_is_filled_up(given: str, full: str) -> None:
    assert access.check_url(given) == full


@pytest.mark.parametrize(
    "url", ["gpu-box:8765", "http://gpu-box", "ws://", "ws://a:b@c", "ws://host:99999", ""]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ServingError):
        access.check_url(url)


def test_a_certificate_without_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="wss"):
        access.client_context("ws://gpu-box:8765/", tmp_path / "ca.pem")


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for path in (wrong, tmp_path / "missing.pem"):
        with pytest.raises(ServingError, match=path.name):
            access.server_context(path, None)
        with pytest.raises(ServingError, match=path.name):
            access.client_context("wss://gpu-box:8765/", path)
    with pytest.raises(ServingError, match="--certificate"):
        access.server_context(None, wrong)


def test_a_pipe_in_place_of_a_token_or_certificate_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ServingError, match="a pipe into which nobody writes"):
        access.read_token(pipe)
    with pytest.raises(ServingError, match="pipe, socket or device"):
        access.server_context(pipe, None)
    with pytest.raises(ServingError, match="pipe, socket or device"):
        access.client_context("wss://gpu-box:8765", pipe)

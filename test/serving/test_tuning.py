"""Options of a link's sockets, on real ones."""

from __future__ import annotations

import socket

import pytest

from mobile_vla_ros.serving.tuning import begin_afresh, hurry


@pytest.fixture
def connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
        with one, other:
            yield one, other


def congestion_control(one: socket.socket) -> bytes:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


def test_a_socket_goes_on_after_beginning_afresh_with_the_same_congestion_control(
    connection,
) -> None:
    one, other = connection
    hurry(one)
    before = congestion_control(one)
    for _ in range(3):
        begin_afresh(one)
        one.sendall(b"picture")
        assert other.recv(7, socket.MSG_WAITALL) == b"picture"
    assert congestion_control(one) == before


def test_what_uses_another_congestion_control_is_left_alone(connection) -> None:
    one, _ = connection
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    begin_afresh(one)
    assert congestion_control(one) == b"reno"


def test_a_socket_that_has_gone_is_no_error(connection) -> None:
    one, _ = connection
    one.close()
    begin_afresh(one)
    begin_afresh(None)

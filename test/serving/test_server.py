"""The server with real sockets on the loopback address, and a model that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess

import aiohttp
import numpy as np
import pytest
from serving_rig import DOUBLE, linked, serving, until

from mobile_vla_ros.serving import access, wire
from mobile_vla_ros.serving.errors import ServingError
from mobile_vla_ros.serving.server import ServerSettings


def test_a_chunk_comes_back_with_the_stamp_it_answers(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path) as address, linked(address, quality=0) as robot:
            await until(lambda: robot.ears.count("welcomed") == 1)
            answer = await robot.ask(200, stamp=1234567890.123456, generation=7, feature=True)
            assert answer.stamp == 1234567890.123456
            assert answer.generation == 7
            assert answer.velocities.shape == (10, 2)
            assert answer.velocities[0, 0] == np.float32(0.2)
            assert answer.feature[0, 0] == 200
            assert list(answer.window_stamps) == [1234567890.123456]

    run(story())


def test_no_frame_of_one_robot_reaches_the_stream_of_another(tmp_path, run) -> None:
    async def story() -> None:
        async with (
            serving(tmp_path) as address,
            linked(address, quality=0) as one,
            linked(address, quality=0) as two,
        ):
            for robot in (one, two):
                await until(lambda robot=robot: robot.ears.count("welcomed") == 1)
            for index in range(6):
                answers = await asyncio.gather(one.ask(10 + index), two.ask(210 + index))
                for answer, grey in zip(answers, (10, 210), strict=True):
                    assert answer.velocities[0, 0] == np.float32((grey + index) / 1000)
                    assert answer.velocities[0, 1] == np.float32((index + 1) / 100)

    run(story())


def test_a_new_generation_empties_the_window_and_an_instruction_starts_anew(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path) as address, linked(address) as robot:
            await until(lambda: robot.ears.count("welcomed") == 1)
            await robot.ask(10)
            assert len((await robot.ask(10)).window_stamps) == 2
            assert len((await robot.ask(10, generation=2)).window_stamps) == 1
            assert len((await robot.ask(10, "stop", generation=3)).window_stamps) == 1

    run(story())


def test_the_robots_share_the_model_in_turns(tmp_path, run) -> None:
    async def story() -> None:
        async with (
            serving(tmp_path, "slow:0.05") as address,
            linked(address) as one,
            linked(address) as two,
        ):
            for robot in (one, two):
                await until(lambda robot=robot: robot.ears.count("welcomed") == 1)
            for _ in range(100):
                one.send(1)
                one.send(1)
                two.send(2)
                await asyncio.sleep(0.02)
            counts = len(one.ears.answers), len(two.ears.answers)
            assert min(counts) > 5
            assert abs(counts[0] - counts[1]) <= 0.3 * max(counts)
            # Frames that no model had time for are said to be so, not left open.
            assert len(one.ears.answers) + len(one.ears.missing) >= one.number - 3

    run(story())


@pytest.mark.parametrize("behaviour", ["raise_at:13", "die_at:13"])
def test_a_model_that_fails_tells_its_robots_and_starts_anew(tmp_path, run, behaviour) -> None:
    async def story() -> None:
        async with serving(tmp_path, behaviour) as address, linked(address, quality=0) as robot:
            await until(lambda: robot.ears.count("welcomed") == 1)
            await robot.ask(10)
            number = robot.send(13)
            await until(lambda: robot.ears.count("failed") == 1)
            assert number in robot.ears.missing
            await until(lambda: robot.ears.count("welcomed") == 2)
            await robot.ask(10)

    run(story())


def test_a_wrong_token_is_refused_and_says_nothing_of_the_policy(tmp_path, run) -> None:
    async def story() -> None:
        async with (
            serving(tmp_path, token="a" * 16) as address,
            linked(address, token="b" * 16) as stranger,
        ):
            await until(lambda: stranger.ears.count("refused") > 0)
            assert "token" in stranger.ears.last("refused")
            assert stranger.ears.count("welcomed") == 0
            async with linked(address, token="a" * 16) as robot:
                await until(lambda: robot.ears.count("welcomed") == 1)

    run(story())


def test_one_robot_too_many_is_refused_in_a_sentence_until_there_is_room(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path, max_robots=1) as address, linked(address) as first:
            await until(lambda: first.ears.count("welcomed") == 1)
            await first.ask(1)
            async with linked(address) as second:
                await until(lambda: second.ears.count("refused") > 0)
                assert "--max-robots" in second.ears.last("refused")
                await first.ask(1)

    run(story())


def test_another_version_of_the_protocol_is_refused_by_name(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path) as address, aiohttp.ClientSession() as session:
            channel = await session.ws_connect(address)
            await channel.send_bytes(wire.pack(wire.Hello("0" * 32, protocol=99, version="9.9")))
            message = wire.unpack(await channel.receive_bytes(), wire.FROM_SERVER)
            assert isinstance(message, wire.Refused)
            assert "99" in message.message

    run(story())


def test_a_web_page_cannot_use_a_browser_to_reach_it(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path) as address, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(address, headers={"Origin": "http://elsewhere"})
            assert caught.value.status == 403

    run(story())


def test_strange_messages_end_their_connection_and_no_other(tmp_path, run) -> None:
    rng = np.random.default_rng(5)
    good = wire.pack(wire.FrameMessage(1, 1.0, 1, "go", "jpeg", b"\xff\xd8 no picture"))

    def spoiled(index: int) -> bytes:
        if index % 3 == 0:
            return rng.bytes(int(rng.integers(0, 300)))
        if index % 3 == 1:
            return good[: int(rng.integers(0, len(good)))]
        changed = bytearray(good)
        changed[int(rng.integers(len(good)))] = int(rng.integers(256))
        return bytes(changed)

    async def story() -> None:
        async with (
            serving(tmp_path) as address,
            aiohttp.ClientSession() as session,
            linked(address) as robot,
        ):
            await until(lambda: robot.ears.count("welcomed") == 1)
            for index in range(60):
                channel = await session.ws_connect(address)
                if index % 2:
                    await channel.send_bytes(wire.pack(wire.Hello("f" * 32)))
                await channel.send_bytes(spoiled(index))
                await channel.close()
            text = await session.ws_connect(address)
            await text.send_str("hello")
            assert (await text.receive()).type == aiohttp.WSMsgType.BINARY
            huge = await session.ws_connect(address)
            with contextlib.suppress(ConnectionError):
                await huge.send_bytes(bytes(wire.MAX_MESSAGE + 1))
                await huge.receive()
            await robot.ask(3)

    run(story())


def test_an_unreadable_picture_and_a_bad_instruction_cost_only_their_frame(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path) as address, linked(address) as robot:
            await until(lambda: robot.ears.count("welcomed") == 1)
            number = robot.send(3, "too long")
            await until(lambda: number in robot.ears.missing)
            assert "too long" in robot.ears.missing[number]
            await robot.ask(3)

    run(story())


def test_a_checkpoint_that_cannot_be_used_is_a_sentence(tmp_path, run) -> None:
    async def story() -> None:
        with pytest.raises(ServingError, match="no good"):
            async with serving(tmp_path, "refuse"):
                pass

    run(story())


def test_a_port_that_is_taken_is_a_sentence(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path) as address:
            port = int(address.rsplit(":", 1)[1])
            with pytest.raises(ServingError, match="cannot listen"):
                async with serving(tmp_path, port=port):
                    pass

    run(story())


def test_without_a_token_it_listens_on_this_machine_only() -> None:
    with pytest.raises(ServingError, match="token"):
        ServerSettings(host="0.0.0.0")
    ServerSettings(host="0.0.0.0", token="x" * 16)


def test_health_needs_no_token_and_tells_nothing_else(tmp_path, run) -> None:
    async def story() -> None:
        async with (
            serving(tmp_path, token="a" * 16) as address,
            aiohttp.ClientSession() as session,
            session.get(address.replace("ws", "http", 1) + "/healthz") as answer,
        ):
            assert await answer.json() == {"status": "ready"}

    run(story())


def test_figures_are_one_json_line_a_second(tmp_path, run) -> None:
    async def story() -> None:
        figures = tmp_path / "figures.jsonl"
        async with serving(tmp_path, figures=figures) as address, linked(address) as robot:
            await until(lambda: robot.ears.count("welcomed") == 1)
            await robot.ask(3)
            await asyncio.sleep(1.2)
        lines = [json.loads(line) for line in figures.read_text().splitlines()]
        assert lines[-1]["answers"] == 1
        assert lines[-1]["robots"] == 1

    run(story())


def test_tls_knows_the_right_server_from_one_with_another_name(tmp_path, run) -> None:
    for name in ("localhost", "elsewhere"):
        subject = f"/CN={name}"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", subject, "-addext", f"subjectAltName=DNS:{name}"]
        command += ["-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.pem"]
        subprocess.run(command, check=True, capture_output=True)

    async def served(name: str, expected: str) -> None:
        tls = access.server_context(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        async with serving(tmp_path, tls=tls, token="a" * 16) as address:
            url = address.replace("127.0.0.1", "localhost")
            trust = access.client_context(url, tmp_path / f"{name}.pem")
            async with linked(url, tls=trust, token="a" * 16) as robot:
                await until(lambda: robot.ears.count(expected) > 0)

    async def story() -> None:
        await served("localhost", "welcomed")
        await served("elsewhere", "refused")

    run(story())


def test_sigterm_ends_it_cleanly_with_its_model(tmp_path) -> None:
    import sys
    import textwrap

    checkpoint = tmp_path / "checkpoint.txt"
    checkpoint.write_text("echo")
    program = textwrap.dedent(
        f"""
        import sys
        from mobile_vla_ros.serving import model_process, server
        server.MODEL_COMMAND = model_process.MODEL_COMMAND = {DOUBLE!r}
        server.PolicyServer.__init__.__defaults__ = ({DOUBLE!r},)
        from mobile_vla_ros.cli.main import main
        main(["serve", {str(checkpoint)!r}, "--port", "0"])
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert "ready on ws://127.0.0.1:" in process.stdout.readline()
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
        ).stdout.split()
        assert len(children) == 1
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in errors
        with pytest.raises(ProcessLookupError):
            os.kill(int(children[0]), 0)
    finally:
        process.kill()

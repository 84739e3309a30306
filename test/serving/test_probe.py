"""What is measured of a link, over real sockets."""

from __future__ import annotations

import asyncio

import pytest
from serving_rig import linked, serving, until

from mobile_vla_ros.serving import probe as probing
from mobile_vla_ros.serving.errors import ServingError
from mobile_vla_ros.serving.link import LinkSettings


def test_a_probe_measures_what_a_robot_would_see(tmp_path, run) -> None:
    async def story() -> None:
        async with serving(tmp_path, token="a" * 16) as address:
            settings = LinkSettings(url=address, robot="0" * 32, token="a" * 16)
            report = await asyncio.to_thread(probing.probe, settings, 20, 20.0)
            assert report.answers >= 5
            assert len(report.frame_to_chunk) == report.answers
            assert all(seconds > 0 for seconds in report.frame_to_chunk)
            assert report.policy["image_size"] == 32
            assert report.megabits_per_second > 0
            # A robot that drives beside it is still served.
            async with linked(address, token="a" * 16) as robot:
                await until(lambda: robot.ears.count("welcomed") == 1)
                await robot.ask(3)

    run(story())


def test_a_wrong_token_or_no_server_is_a_sentence(tmp_path, run, monkeypatch) -> None:
    monkeypatch.setattr(probing, "CONNECT_SECONDS", 1.0)

    async def story() -> None:
        async with serving(tmp_path, token="a" * 16) as address:
            settings = LinkSettings(url=address, robot="0" * 32, token="b" * 16)
            with pytest.raises(ServingError, match="token"):
                await asyncio.to_thread(probing.probe, settings, 5)
        with pytest.raises(ServingError, match=r"cannot be reached|does not answer"):
            await asyncio.to_thread(probing.probe, settings, 5)

    run(story())

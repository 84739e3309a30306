"""Work spread over processes here, or over machines by Ray; results come as they get done.

Jobs have to be independent and repeatable: the work of a process or machine that dies is done
again, and the same jobs give the same results wherever they run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mobile_vla_ros.errors import InputError

HERE, RAY = "here", "ray"
PLACES = (HERE, RAY)
_KNOCKS_FOR = 5.0  # s
_TRIES = 3  # times that a job is begun, if whoever works at it dies


class WorkerDied(InputError):
    """Whoever worked at a job died, again and again."""


def spread(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int = 1,
    on: str = HERE,
    prepare: Callable[[], None] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Calls ``function(*job)`` for every job.

    Args:
        function: of a module, so that another process can import it.
        jobs: its arguments, which can be pickled.
        workers: processes here; 1 works in this one. Ray takes what its machines have.
        on: "here", or "ray": the cluster that ``RAY_ADDRESS`` names or that runs on this
            machine, else one started for the purpose.
        prepare: called once in each process, before its first job.

    Yields:
        (index of the job, result), in the order in which they get done.

    Raises:
        InputError: an unknown place, no Ray, or no cluster at ``RAY_ADDRESS``.
        WorkerDied: whoever worked at a job died every time that it was begun.
    """
    if on not in PLACES:
        raise InputError(f"'{on}' is no place to work: give {' or '.join(PLACES)}")
    if workers < 1:
        raise InputError(f"{workers} workers: give 1 or more")
    if on == RAY:
        yield from _by_ray(function, jobs, prepare)
    elif workers == 1 or len(jobs) < 2:
        yield from ((index, function(*job)) for index, job in enumerate(jobs))
    else:
        yield from _by_processes(function, jobs, min(workers, len(jobs)), prepare)


def _by_processes(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    prepare: Callable[[], None] | None,
) -> Iterator[tuple[int, Any]]:
    left = dict(enumerate(jobs))
    deaths = 0
    while left:
        before = len(left)
        # Spawned, not forked: a graphics context does not survive a fork.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, context, initializer=prepare)
        try:
            futures = {pool.submit(function, *job): index for index, job in left.items()}
            for future in as_completed(futures):
                result = future.result()
                del left[futures[future]]
                yield futures[future], result
        except BrokenProcessPool as error:
            # What the others had done by then counts.
            for future, index in futures.items():
                if index in left and future.done() and future.exception() is None:
                    del left[index]
                    yield index, future.result()
            # One process that dies takes its pool along: only a pool that got nothing done counts.
            deaths = deaths + 1 if len(left) == before else 1
            if deaths == _TRIES:
                raise WorkerDied(_died(len(left))) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _died(jobs: int) -> str:
    return (
        f"processes died {_TRIES} times at the same work ({jobs} jobs are left); see whether "
        "memory runs out, and give the command again with fewer at a time"
    )


def _by_ray(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    prepare: Callable[[], None] | None,
) -> Iterator[tuple[int, Any]]:
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--on ray needs Ray: pip install 'mobile_vla_ros[ray]', or leave --on out"
        ) from error
    ours = not ray.is_initialized()
    if ours:
        _join(ray)
    try:
        remote = ray.remote(num_cpus=1, max_retries=_TRIES - 1)(_prepared)
        here = os.getcwd()
        waiting = {
            remote.remote(here, prepare, function, job): index for index, job in enumerate(jobs)
        }
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            for reference in done:
                index = waiting.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    # What the job itself raised, as it would have been raised here.
                    raise error.cause if isinstance(error.cause, Exception) else error from error
                except _deaths(ray.exceptions) as error:
                    raise WorkerDied(_died(len(waiting) + 1)) from error
                yield index, result
    finally:
        if ours:
            ray.shutdown()


def _deaths(exceptions: Any) -> tuple[type[Exception], ...]:
    """What Ray says when it gives a job up whose process or machine died."""
    names = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError")
    return tuple(getattr(exceptions, name) for name in names)


def _join(ray: Any) -> None:
    """Joins the cluster that there is, or starts one on this machine."""
    options = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        # Ray itself would knock for minutes.
        host, _, port = address.rpartition("://")[2].rpartition(":")
        try:
            socket.create_connection((host, int(port)), _KNOCKS_FOR).close()
        except (OSError, ValueError) as error:
            raise InputError(
                f"there is no Ray cluster at RAY_ADDRESS={address}: start one with ray start, or "
                "unset it"
            ) from error
    try:
        ray.init(address=address or "auto", **options)
    except ConnectionError:
        ray.init(**options)


_ready: set[Any] = set()


def _prepared(
    folder: str,
    prepare: Callable[[], None] | None,
    function: Callable[..., Any],
    job: tuple[Any, ...],
) -> Any:
    """One job in a process of Ray's, which lives on for other jobs."""
    # Relative names mean what they mean to who asked; Ray starts its processes elsewhere.
    with contextlib.suppress(FileNotFoundError):
        os.chdir(folder)
    if prepare is not None and prepare not in _ready:
        prepare()
        _ready.add(prepare)
    return function(*job)

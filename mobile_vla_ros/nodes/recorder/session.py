"""One recorder's episodes, from the start to the file: a `Recording` and the process behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rclpy.task import Future

from mobile_vla_ros.episodes.labelling import Labelling
from mobile_vla_ros.episodes.recorded_row import Label
from mobile_vla_ros.episodes.recording import (
    RECORDING,
    SAVING,
    Recording,
    RecordingError,
    RecordingSettings,
)
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.recorder.disk import Disk
from mobile_vla_ros.nodes.recorder.durations import Durations
from mobile_vla_ros.nodes.recorder.orders import (
    Began,
    DiskReport,
    Ended,
    EpisodeOrder,
    Recovered,
    Wrote,
)

SAVE_SECONDS = 30.0
# A writer process that ends this soon after its start, this often, will not work at all.
SHORT_LIFE = 5.0
RESTARTS = 3


class Log(Protocol):
    """The part of a node's logger that is used here."""

    def warning(self, sentence: str) -> Any: ...

    def error(self, sentence: str) -> Any: ...


@dataclass
class WriterReport:
    """What the writer process has said of itself last."""

    write_times: Durations = field(default_factory=Durations)
    save_seconds: float = 0.0
    row_bytes: float = 0.0
    free_bytes: int = 0
    resident_bytes: int = 0

    def status(self) -> dict[str, Any]:
        return {
            "write_ms": self.write_times.summary(),
            "save_seconds": round(self.save_seconds, 3),
            "row_bytes": round(self.row_bytes),
        }


class EpisodeSession:
    """Begins and ends episodes, hears the writer process, and replaces it when it dies.

    Args:
        directory: where episodes go.
        settings: how rows are chosen at first.
        queue_frames: frames that may wait for the disk.
        order: makes the order of an episode; called at its start.
        labelling: is told what has been counted on the disk.
        future: makes a future whose waiters the node's executor wakes.
        say: called with a sentence for whoever watches.
        log: of the node.

    Attributes:
        recording: chooses the rows.
        began, ended: of the episode in progress: '' or why it has not begun; (saved, sentence).
    """

    def __init__(
        self,
        directory: str,
        settings: RecordingSettings,
        *,
        queue_frames: int,
        order: Callable[[int, Label], EpisodeOrder],
        labelling: Labelling,
        future: Callable[[], Future],
        say: Callable[[str], None],
        log: Log,
    ) -> None:
        self._directory = directory
        self._queue_frames = queue_frames
        self._order = order
        self._labelling = labelling
        self._future = future
        self._say = say
        self._log = log
        self._disk = Disk(order, queue_frames)
        self.recording = Recording(settings, self._disk)
        self.began: Future | None = None
        self.ended: Future | None = None
        self._path = ""
        self._error = self._stopped = ""
        self._report = WriterReport()
        self._deaths = 0
        self._disk.recover(directory)

    # Requests

    def check_free(self) -> None:
        """Raises RecordingError while an episode is being recorded."""
        if self.recording.state == RECORDING:
            raise RecordingError("an episode is being recorded: save or discard it first")

    def begin(
        self, label: Label, settings: RecordingSettings, slot_bytes: int, now: float
    ) -> Future:
        """Begins an episode; returns what will say whether it has begun.

        Args:
            label: what it is recorded under.
            settings: how its rows are chosen.
            slot_bytes: the largest image there may be.
            now: the node's clock, s.

        Raises:
            RecordingError: there is no memory, or an episode is in progress.
        """
        self._disk.make_room(slot_bytes)
        self.recording.settings = settings
        self._path = self._error = self._stopped = ""
        self.began, self.ended = self._future(), self._future()
        self.recording.start(label, now)
        return self.began

    def stop_early(self, reason: str) -> None:
        """Ends the episode in progress as not complete."""
        self._stopped = f"recording stopped: {reason}"
        self._log.error(self._stopped)
        self.recording.save(complete=False)

    def clock_set(self, step: float) -> None:
        """The clock was set by ``step`` seconds in mid-episode; its file is to say so."""
        self._disk.clock_set += step

    def explained(self, error: InputError) -> InputError:
        """A refusal, with the reason for which the last episode has ended by itself."""
        if not self._error or self.recording.state == RECORDING:
            return error
        return RecordingError(f"{error} ({self._error}; {Path(self._path).name} is what there is)")

    def close(self) -> None:
        """Finishes an episode in progress as not complete, and ends the writer process."""
        if self.recording.state == RECORDING:
            self._log.warning("told to stop while recording: the episode is finished")
            self.recording.save(complete=False)
        end = time.monotonic() + SAVE_SECONDS
        while self.recording.state == SAVING and time.monotonic() < end:
            try:
                for answer in self._disk.answers(wait=0.1):
                    self._hear(answer)
            except EOFError:
                break
        if not self._disk.close():
            self._log.warning("the writer process is still at work: leave it running")

    # The writer process

    def pump(self) -> None:
        """Hears what the writer process has said; to be called about twenty times a second."""
        try:
            answers = self._disk.answers()
        except EOFError:
            self._replace_writer()
            return
        for answer in answers:
            self._hear(answer)

    def _hear(self, answer: Any) -> None:
        if isinstance(answer, Wrote):
            self._report.write_times.add(answer.seconds)
            if answer.rows:
                self.recording.written(answer.episode, answer.rows)
        elif isinstance(answer, Began):
            self._path = answer.path
            self._say(f"recording {Path(answer.path).name}")
            _settle(self.began, "")
        elif isinstance(answer, Ended):
            self._episode_ended(answer)
        elif isinstance(answer, Recovered):
            self._log.warning(answer.sentence)
            self._say(answer.sentence)
        elif isinstance(answer, DiskReport):
            self._labelling.finished = answer.episodes
            self._report.free_bytes = answer.free_bytes
            self._report.resident_bytes = answer.resident_bytes

    def _episode_ended(self, answer: Ended) -> None:
        self.recording.written(answer.episode, answer.rows)
        lost = self.recording.counts.lost
        error = "; ".join(filter(None, [self._stopped, answer.error]))
        self.recording.ended(answer.episode)
        if not answer.path:
            sentence = error or "discarded"
        else:
            self._report.save_seconds = answer.seconds
            self._report.row_bytes = answer.size / answer.rows
            self._path = answer.path
            sentence = (
                f"{'; '.join(filter(None, [error, f'saved {answer.path}']))}: {answer.rows}"
                f" rows, counted again in the file; {answer.dropped} dropped, {lost} lost"
            )
        self._error = error
        if error:
            self._log.error(sentence)
        self._say(sentence)
        _settle(self.began, error or "the episode has ended already")
        _settle(self.ended, (not error, sentence))

    def _replace_writer(self) -> None:
        """Starts a new writer process, which finishes what the old one left."""
        sentence = "the writer process has ended unexpectedly: the episode so far is recovered"
        self._log.error(sentence)
        self._error = sentence
        short_lived = time.monotonic() - self._disk.started < SHORT_LIFE
        self._deaths = self._deaths + 1 if short_lived else 1
        if self._deaths > RESTARTS:
            raise RuntimeError("the writer process ends as soon as it starts: see its error above")
        self._disk.close()
        self._disk = Disk(self._order, self._queue_frames)
        self.recording.sink = self._disk
        self.recording.ended(self.recording.episode)
        self._disk.recover(self._directory)
        self._say(sentence)
        _settle(self.began, sentence)
        _settle(self.ended, (False, sentence))

    # What is told

    def status(self) -> dict[str, Any]:
        """The episode in progress, or the last one, and the writer process."""
        recording, counts = self.recording, self.recording.counts
        return {
            "state": recording.state,
            "episode": Path(self._path).name,
            "path": self._path,
            "frames": recording.accepted,
            "frames_received": counts.received,
            "frames_written": counts.written,
            "frames_dropped": counts.dropped,
            "frames_lost": counts.lost,
            "queued": self._disk.queued,
            "longest_queue": self._disk.longest_queue,
            "episode_length": recording.settings.episode_length,
            "disk_left_bytes": self._report.free_bytes,
            "error": self._error,
            **self._report.status(),
            "writer_process": self._disk.process_id,
            "writer_resident_bytes": self._report.resident_bytes,
        }


def _settle(future: Future | None, result: Any) -> None:
    if future is not None and not future.done():
        future.set_result(result)

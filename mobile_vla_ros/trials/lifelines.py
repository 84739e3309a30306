"""The programs without which a trial means nothing: are they still there?"""

from __future__ import annotations

import math

# A program that trials depend on is gone when it has been silent for this long, s. The recorder
# speaks twice a second, the policy once, and velocities come all the time.
GONE_AFTER = 4.0


class Lifelines:
    """Hears recorder and policy; all times are seconds of one steady clock.

    Args:
        recorded: whether trials are recorded, so that the recorder is needed.
    """

    def __init__(self, recorded: bool) -> None:
        self._recorded = recorded
        self._began = -math.inf
        self._recorder_heard = self._policy_heard = self._velocity_heard = -math.inf
        self._recording = False
        self._recorder_message = ""

    def begin(self, now: float) -> None:
        """A trial begins; what it needs has ``GONE_AFTER`` seconds to be heard."""
        self._began = now

    def hear_recorder(self, recording: bool, message: str, now: float) -> None:
        """The recorder's status: whether it records, and what it says last."""
        self._recording, self._recorder_message = recording, message
        self._recorder_heard = now

    def hear_policy(self, now: float) -> None:
        """The policy's program has spoken, whatever it said."""
        self._policy_heard = now

    def hear_velocity(self, now: float) -> None:
        """A velocity was sent to the base."""
        self._velocity_heard = now

    def missing(self, now: float, *, driving: bool = False) -> str:
        """What has gone, as a sentence; '' when all is there, or may still come.

        Args:
            now: s of the steady clock.
            driving: the policy says that it drives, so that velocities must come.
        """
        if now - self._began <= GONE_AFTER:
            return ""
        if self._recorded:
            if now - self._recorder_heard > GONE_AFTER:
                return "the recorder is gone"
            if not self._recording:
                return f"the recorder has stopped: {self._recorder_message}"
        if now - self._policy_heard > GONE_AFTER:
            return "the policy's program is gone"
        if driving and now - self._velocity_heard > GONE_AFTER:
            return "no velocities reach the base: is the guard running?"
        return ""

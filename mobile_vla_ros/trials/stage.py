"""The other programs as one trial needs them: what can be ordered, whoever carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Stage(Protocol):
    """The other programs as a trial needs them. All may wait; ``InputError`` says what failed."""

    policy_name: str

    def checkpoint(self) -> str:
        """Path of the checkpoint that the policy has."""

    def load(self, path: str, say: Callable[[], None]) -> None:
        """Has the policy drive by the checkpoint at ``path``; ``say`` before it takes time."""

    def sha256(self, path: str) -> str:
        """Of a checkpoint; "" when it is not on this machine."""

    def run_file(self) -> dict[str, str]:
        """Name and hash of the policy's run file, if any."""

    def set_up_field(self, scenario: str, seed: int) -> None:
        """A simulated field as this start wants it."""

    def start_recording(self, scenario: str, instruction: str) -> None:
        """Begins the trial's episode."""

    def save_recording(self, outcome: str, patience: float) -> tuple[str, str] | None:
        """Ends the trial's episode; returns its file's name and hash, when it has one."""

    def discard_recording(self) -> None:
        """There was no trial after all."""

    def tell(self, instruction: str) -> None:
        """Gives the policy its instruction, with an empty memory."""

    def drive(self) -> None:
        """Lets the policy drive."""

    def stand(self) -> None:
        """Has the robot stand, as far as the policy can be reached."""

    def policy_listens(self) -> bool:
        """Whether the policy is there to be told something; does not wait."""

    def order_to_stand(self) -> None:
        """Has the robot stand, and is sure of it."""

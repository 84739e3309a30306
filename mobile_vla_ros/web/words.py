"""The robot's state as a sentence, and what the person beside it can do about it."""

from __future__ import annotations

from mobile_vla_ros import states

_SAID = {
    states.UNCONFIGURED: ("It is not set up", "the policy has not been loaded"),
    states.WARMING_UP: ("It is loading", "wait; the policy warms up"),
    states.WAITING_FOR_CAMERA: ("It waits for the camera", "is the camera running?"),
    states.WAITING_FOR_INSTRUCTION: ("It waits for an instruction", "say what it is to do"),
    states.DISABLED: ("It is switched off", "press Enable when it may move"),
    states.DRIVING: ("It drives", ""),
    states.ARRIVED: ("It has arrived", "give a new instruction, or press Reset"),
}
_REASONS = {
    states.CAMERA_SILENT: ("the camera sends nothing", "look at its cable and its program"),
    states.CAMERA_FROZEN: ("the camera shows the same picture again and again", "restart it"),
    states.FRAME_TOO_OLD: ("the pictures come too late", "look at the network and the clocks"),
    states.CLOCK_JUMPED: ("a clock has jumped", "it goes on by itself"),
    states.CHUNK_USED_UP: ("the policy gave no new plan in time", "it goes on by itself"),
    states.MODEL_TOO_SLOW: ("the policy is too slow", "use a smaller one or a faster machine"),
    states.MODEL_HUNG: ("the policy hung", "it is started again"),
    states.MODEL_FAILED: ("the policy failed", "see the log; then press Enable"),
    states.BAD_OUTPUT: ("the policy's output is no velocity", "see the log; then press Enable"),
    states.STOP_SERVICE: ("it was told to stop", "press Enable when it may move again"),
    states.TAKEN_OVER: ("a person has taken over", "press Hand back when the policy may drive"),
    states.TWO_CAMERAS: ("two cameras send pictures", "switch one of them off"),
    states.UNREADABLE: ("the pictures cannot be read", "look at the camera's format"),
    states.SERVER_LOST: ("the policy's server is lost", "look at the network"),
    states.SERVER_REFUSED: ("the policy's server refuses", "see the log"),
}
UNKNOWN_WORDS = "it was not trained with these words: see Say"
NOBODY = ("No policy is running", "start inference.launch.py")


def sentence(state: str | None) -> tuple[str, str]:
    """What a state means, and what to do about it ('' for nothing).

    Args:
        state: as on ``~/state`` of the driving node; None when nobody says one.
    """
    if state is None:
        return NOBODY
    if state in _SAID:
        return _SAID[state]
    if state.startswith(states.STOPPED):
        reason = state.removeprefix(states.STOPPED)
        why, advice = _REASONS.get(reason, (reason, ""))
        return f"Stopped: {why}", advice
    return state, ""

"""What trial_node says of itself: its parameters, topics and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobile_vla_ros.nodes.wiring.parameters import Declared
from mobile_vla_ros.nodes.wiring.program import (
    PARAMETERS_GOT,
    PARAMETERS_SET,
    VELOCITY,
    Topic,
)
from mobile_vla_ros.nodes.wiring.rig import EXPOSURE_MODE, RIG_PARAMETERS
from mobile_vla_ros.trials.conductor import TrialSettings
from mobile_vla_ros.trials.session import TrialRules

PARAMETERS = (
    Declared("directory", "~/trials", "trials.jsonl, incidents/ and starts/ go there"),
    Declared("plan", "", "plan file of 'mobile_vla trials plan'; '' = trials as set below"),
    Declared("key", "", "key file of a blind plan; only the checkpoint to load is read from it"),
    Declared("scenario", "", "scenario of a trial without a plan", live=True),
    Declared("instruction", "", "what the policy is told in a trial without a plan", live=True),
    Declared(
        "checkpoint", "", "path to load for a trial without a plan; '' = as it is", live=True
    ),
    Declared("note", "", "operator's note, written into the next trial", live=True),
    Declared("time_limit", 60.0, "a trial longer than this has failed, s", 1.0, 3600.0),
    Declared("verdict_timeout", 0.0, "wait this long for a verdict, s; 0 = for ever", 0.0, 3600.0),
    Declared(
        "arrival",
        "ask",
        "what an arrival counts as: ask = the operator says, success = it does",
        options=("ask", "success"),
    ),
    Declared("end_on_takeover", False, "a person's takeover ends the trial as a failure"),
    Declared("record", True, "record an episode of each trial through the recorder node"),
    Declared("shadow", False, "a person drives, the policy only watches (its dry_run is true)"),
    Declared("incidents", True, "keep a capsule of each unordered stop, takeover and mark"),
    Declared("incident_before", 10.0, "seconds kept before an incident", 1.0, 60.0),
    Declared("incident_after", 5.0, "seconds kept after an incident", 0.0, 60.0),
    Declared(
        "image_transport",
        "raw",
        "compressed = the image topic + /compressed",
        options=("raw", "compressed"),
    ),
    Declared("camera_id", "", "names the camera in the capsules; '' = its topic"),
    *RIG_PARAMETERS,
    EXPOSURE_MODE,
    Declared("policy", "mobile_vla", "name of the inference node"),
    Declared("recorder", "episode_recorder", "name of the recorder node"),
    Declared("guard", "cmd_vel_guard", "name of the guard node"),
    Declared("field", "", "name of a simulated field's node; it sets up the planned starts"),
    Declared("field_seed", 0, "added to a start's number: the seed of its field", 0, 2**30),
    Declared("judge", "", "topic of a judge that knows; '' = the field's ~/outcome, if any"),
    Declared("unattended", False, "with a field: drive every trial of the plan by itself"),
    Declared("keys", False, "read verdicts from the terminal: y success, n failure, x abort"),
)
HEARS = (
    Topic("image", "sensor_msgs/Image or CompressedImage", "for incidents and the start view"),
    Topic("cmd_vel", VELOCITY, "what the base is told, m/s and rad/s"),
    Topic("odom", "nav_msgs/Odometry", "the path, when there is some"),
    Topic("mobile_vla/state", "std_msgs/String", "of the policy"),
    Topic("mobile_vla/event", "std_msgs/String", "of the policy; 'mark' keeps an incident"),
    Topic("mobile_vla/chunk", "trajectory_msgs/MultiDOFJointTrajectory", "of the policy"),
    Topic("mobile_vla/features", "sensor_msgs/Image", "the policy's feature of each frame"),
    Topic("cmd_vel_guard/state", "std_msgs/String", "of the guard"),
    Topic("cmd_vel_guard/taken_over", "std_msgs/Bool", "whether a person drives"),
    Topic("episode_recorder/status", "std_msgs/String", "JSON, of the recorder"),
    Topic("operator_deadman", "std_msgs/Bool", "a person's own switch; once heard, it counts"),
    Topic("~/reason", "std_msgs/String", "why the next verdict is given"),
    Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "of the policy"),
    Topic("sim/outcome", "std_msgs/String", "JSON, of the field, with field:=sim"),
)
TELLS = (
    Topic("deadman", "std_msgs/Bool", "the heartbeat without which the guard stops"),
    Topic("~/status", "std_msgs/String", "JSON: the running trial and the plan"),
    Topic("~/start_view/compressed", "sensor_msgs/CompressedImage", "where the robot is to stand"),
)
ANSWERS = (
    Topic("~/start", "std_srvs/Trigger", "the next trial"),
    Topic("~/success", "std_srvs/Trigger", "verdict on the running trial, or a broken one"),
    Topic("~/failure", "std_srvs/Trigger", "likewise"),
    Topic("~/abort", "std_srvs/Trigger", "likewise; it does not count"),
    Topic("~/mark", "std_srvs/Trigger", "keeps the last seconds as an incident"),
)
ASKS = (
    Topic("mobile_vla/get_parameters", PARAMETERS_GOT, "which checkpoint it has"),
    Topic("mobile_vla/set_parameters_atomically", PARAMETERS_SET, "instruction, checkpoint"),
    Topic("mobile_vla/get_state", "lifecycle_msgs/GetState"),
    Topic("mobile_vla/change_state", "lifecycle_msgs/ChangeState", "to load another checkpoint"),
    Topic("mobile_vla/enable", "std_srvs/SetBool"),
    Topic("mobile_vla/reset", "std_srvs/Trigger"),
    Topic("episode_recorder/start", "std_srvs/Trigger"),
    Topic("episode_recorder/save", "std_srvs/Trigger"),
    Topic("episode_recorder/discard", "std_srvs/Trigger"),
    Topic("episode_recorder/set_parameters_atomically", PARAMETERS_SET, "what is recorded"),
    Topic("sim/reset", "std_srvs/Trigger", "with field:=sim"),
    Topic("sim/set_parameters_atomically", PARAMETERS_SET, "with field:=sim"),
)


def settings_of(values: Mapping[str, Any]) -> TrialSettings:
    """How trials are conducted, by the parameters' values."""
    rules = TrialRules(
        time_limit=values["time_limit"],
        verdict_timeout=values["verdict_timeout"],
        arrival=values["arrival"],
        end_on_takeover=values["end_on_takeover"],
    )
    return TrialSettings(rules, values["shadow"], bool(values["field"]), values["field_seed"])

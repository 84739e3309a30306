"""The parameters of trial_node."""

from __future__ import annotations

from mobile_vla_ros.nodes.wiring.parameters import Declared

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
    Declared("policy", "mobile_vla", "name of the inference node"),
    Declared("recorder", "episode_recorder", "name of the recorder node"),
    Declared("guard", "cmd_vel_guard", "name of the guard node"),
    Declared("field", "", "name of a simulated field's node; it sets up the planned starts"),
    Declared("field_seed", 0, "added to a start's number: the seed of its field", 0, 2**30),
    Declared("judge", "", "topic of a judge that knows; '' = the field's ~/outcome, if any"),
    Declared("unattended", False, "with a field: drive every trial of the plan by itself"),
    Declared("keys", False, "read verdicts from the terminal: y success, n failure, x abort"),
)

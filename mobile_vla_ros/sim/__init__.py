"""The simulated field: a room, cardboard boxes, a bottle, a small robot and a scripted driver."""

from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, Run, drive
from mobile_vla_ros.sim.collect import Collected, CollectSettings, collect
from mobile_vla_ros.sim.driver import DriverSettings, ScriptedDriver
from mobile_vla_ros.sim.evaluate import Evaluation, evaluate, evaluation_plan
from mobile_vla_ros.sim.expert import FieldState, expert_chunk
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.layout import Layout, sample_layout
from mobile_vla_ros.sim.outcome import Outcome
from mobile_vla_ros.sim.relabel import collect_driven
from mobile_vla_ros.sim.scenario import SCENARIOS, Scenario, ScenarioError, parse_scenario
from mobile_vla_ros.sim.truth import recorded_states, truth_attributes

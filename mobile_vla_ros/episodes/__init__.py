"""Episodes on disk: written so that nothing is lost, read whatever wrote them."""

from mobile_vla_ros.episodes.check_limits import CheckLimits
from mobile_vla_ros.episodes.checks import EpisodeReport, check_episode
from mobile_vla_ros.episodes.names import (
    episode_name,
    find_episodes,
    parse_scenario,
    unique_path,
)
from mobile_vla_ros.episodes.reader import Episode, open_episode
from mobile_vla_ros.episodes.recovery import (
    Recovery,
    find_interrupted,
    recover,
    recover_folder,
)
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import EpisodeWriter

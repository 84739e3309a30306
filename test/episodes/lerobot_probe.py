"""Run by lerobot's own interpreter: opens a data set and prints what its loader gives."""

import json
import sys

from lerobot.datasets.lerobot_dataset import LeRobotDataset

root, key = sys.argv[1], "observation.images.camera"
data = LeRobotDataset("local/set", root=root, delta_timestamps={"action": [0.0, 0.1]})
items = [data[index] for index in range(len(data))]
print(
    json.dumps(
        {
            "episodes": data.num_episodes,
            "fps": data.fps,
            "tasks": [item["task"] for item in items],
            "actions": [item["action"][0].tolist() for item in items],
            "stamps": [float(item["observation.stamp"]) for item in items],
            "colours": [item[key].mean(dim=(1, 2)).tolist() for item in items],
            "statistics": sorted(data.meta.stats),
        }
    )
)

"""The LeRobotDataset format, written and read without lerobot itself: pyarrow, and PyAV for video.

Layout of version 3.0 (lerobot's `lerobot-dataset-v3` documentation): `meta/info.json`,
`meta/stats.json`, `meta/tasks.parquet`, tables of episodes and of frames with many episodes per
file, and MP4 files with many episodes each. Version 2.1 has one table and one video per episode.
"""

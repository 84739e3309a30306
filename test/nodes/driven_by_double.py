"""inference_node as it is, with `worker_double` as the program of its model's process."""

from __future__ import annotations

import sys
from pathlib import Path

from mobile_vla_ros.nodes.inference_node import main

DOUBLE = Path(__file__).with_name("worker_double.py")

if __name__ == "__main__":
    sys.exit(main(worker_command=(sys.executable, str(DOUBLE))))

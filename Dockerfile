# The package on the official ROS 2 Jazzy image.
#   docker build -t mobile_vla_ros .
#   docker run --rm -it --net=host --ipc=host --gpus all -v /path/to/models:/models mobile_vla_ros \
#       ros2 launch mobile_vla_ros inference.launch.py checkpoint:=/models/policy
# --net=host lets DDS discovery reach the robot; --ipc=host gives Fast DDS its shared memory.
FROM ros:jazzy-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends \
        python3-venv python3-pip python3-colcon-common-extensions \
        ros-jazzy-cv-bridge ros-jazzy-lifecycle-msgs ros-jazzy-diagnostic-msgs \
        ros-jazzy-trajectory-msgs ros-jazzy-nav-msgs \
        libegl1 libegl-mesa0 libgl1 \
    && rm -rf /var/lib/apt/lists/*

# One environment for pip's packages; it sees ROS 2's Python packages too.
RUN python3 -m venv --system-site-packages /opt/venv
ENV PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv

WORKDIR /ws/src/mobile_vla_ros
COPY requirements.txt ./
RUN pip install --no-cache-dir "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt colcon-common-extensions

COPY . .
WORKDIR /ws
# colcon from the environment, so that the executables start the environment's Python.
RUN . /opt/ros/jazzy/setup.sh && python -m colcon build

RUN printf '#!/bin/bash\nset -e\nsource /opt/ros/jazzy/setup.bash\nsource /ws/install/setup.bash\nexec "$@"\n' \
        > /entrypoint.sh && chmod +x /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "mobile_vla_ros", "inference.launch.py", "--show-args"]

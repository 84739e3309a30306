from glob import glob

from setuptools import find_packages, setup

package_name = "mobile_vla_ros"

# Every node is an executable of the same name: `ros2 run mobile_vla_ros <name>`.
nodes = [
    "inference_node",
    "camera_node",
    "cmd_vel_guard",
    "recorder_node",
    "teleop_node",
    "replay_node",
    "pattern_node",
    "sim_node",
    "trial_node",
    "session_node",
    "operator_node",
    "gamepad_node",
]

# Ranges that are known to work; requirements.txt and requirements-humble.txt pin one of each.
base = [
    "setuptools",
    "numpy>=1.24",
    "scipy>=1.10",
    "h5py>=3.10",
    "opencv-python-headless>=4.8",
    "PyYAML>=6.0",
    "pydantic>=2.7",
    "typer>=0.15",
    "rich>=13",
    "matplotlib>=3.8",
    "psutil>=5.9",
    "Jinja2>=3.1",
    "Pillow>=9.1",
    "aiohttp>=3.9",
    "msgpack>=1.0",
    "segno>=1.5",
]
# A robot runs a policy that was converted with --onnx, and needs no torch: `robot` and nothing
# else. Everywhere else `policy` brings the learning stack.
extras = {
    "policy": [
        "torch>=2.4",
        "transformers>=4.45,<6",
        "peft>=0.13",
        "safetensors>=0.4.5",
        "tokenizers>=0.20",
    ],
    "robot": ["onnxruntime>=1.18", "tokenizers>=0.20"],
    "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],
    "train": ["lightning>=2.4", "tensorboard>=2.15"],
    "analysis": ["scikit-learn>=1.4"],
    "sim": ["mujoco>=3.2"],
    "bags": ["rosbags>=0.10", "pyarrow>=15", "lz4>=4"],
    "filters": ["hdf5plugin>=4"],
    "lerobot": ["pyarrow>=15", "av>=14"],
    "hub": ["huggingface_hub>=0.25"],
    "mcap": ["mcap>=1.1", "rosbags>=0.10"],
    "view": ["rerun-sdk>=0.24"],
    "int8": ["torchao>=0.12"],
    "ray": ["ray>=2.40,<3"],
}
extras["all"] = sorted({need for needs in extras.values() for need in needs})

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(include=[package_name, f"{package_name}.*"]),
    package_data={package_name: ["py.typed", "data/**/*", "web/static/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/launch", glob("launch/*.launch.py")),
        (f"share/{package_name}/config", [f for f in glob("config/*") if "." in f]),
        (f"share/{package_name}/config/experiments", glob("config/experiments/*.json")),
        (f"share/{package_name}/config/demo", glob("config/demo/*.json")),
        (f"share/{package_name}/config/open", glob("config/open/*.json")),
        (f"share/{package_name}/config/foxglove", glob("config/foxglove/*.json")),
        (f"share/{package_name}/config/sros2", glob("config/sros2/*.xml")),
    ],
    install_requires=base,
    python_requires=">=3.10",
    extras_require=extras,
    zip_safe=False,
    author="mobile_vla_ros maintainers",
    maintainer="mobile_vla_ros maintainers",
    maintainer_email="maintainers@mobile-vla-ros.org",
    url="https://mobile-vla-ros.org",
    project_urls={
        "Source": "https://github.com/mobile-vla-ros/mobile_vla_ros",
        "Issues": "https://github.com/mobile-vla-ros/mobile_vla_ros/issues",
    },
    description="Drives a mobile robot with a Kosmos-2 + LSTM vision-language-action policy.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "mobile_vla = mobile_vla_ros.cli.main:main",
            *[f"{node} = {package_name}.nodes.{node}:main" for node in nodes],
        ]
    },
)

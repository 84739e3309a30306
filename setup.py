from glob import glob

from setuptools import find_packages, setup

package_name = "mobile_vla_ros"

# Every node is an executable of the same name: `ros2 run mobile_vla_ros <name>`.
nodes = []

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(include=[package_name, f"{package_name}.*"]),
    package_data={package_name: ["data/**/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/launch", glob("launch/*.launch.py")),
        (f"share/{package_name}/config", [f for f in glob("config/*") if "." in f]),
        (f"share/{package_name}/config/experiments", glob("config/experiments/*.json")),
    ],
    install_requires=["setuptools"],
    python_requires=">=3.10",
    extras_require={},
    zip_safe=False,
    author="mobile_vla_ros maintainers",
    maintainer="mobile_vla_ros maintainers",
    maintainer_email="maintainers@mobile-vla-ros.org",
    description="Drives a mobile robot with a Kosmos-2 + LSTM vision-language-action policy.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "mobile_vla = mobile_vla_ros.cli.main:main",
            *[f"{node} = {package_name}.nodes.{node}:main" for node in nodes],
        ]
    },
)

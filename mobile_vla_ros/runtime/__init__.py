"""The converted policy without torch: numpy, onnxruntime, tokenizers and Pillow.

``mobile_vla_ros.policy.load_policy`` with ``runtime="onnx"`` gives what lies here.
"""

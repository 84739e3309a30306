"""The lean pass as ONNX graphs over the weights of a converted directory."""

"""Exported networks: a MONAI bundle, ONNX and safetensors, each checked against the prediction of aunet."""

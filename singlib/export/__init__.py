"""The instrument leaves the notebook: files for samplers, songs, ONNX, and a model hub."""

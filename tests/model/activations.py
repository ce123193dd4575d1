# Makes fixtures/transformers-activations.json: what the activations of Hugging Face transformers 5.24.0 give in float64, by the names that configs use.
#
#   pip install torch==2.15.0 transformers==5.24.0 && python activations.py

import json
import os

import torch
from transformers.activations import ACT2FN

NAMES = [
    "gelu", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh", "gelu_pytorch_tanh", "linear", "mish",
    "quick_gelu", "relu", "relu2", "sigmoid", "silu", "swish", "tanh",
]
x = torch.tensor([-30, -8, -3.5, -2, -1, -0.75, -0.26, -0.1, -1e-4, 0, 1e-3, 0.2, 0.24, 0.5, 1, 1.5, 2.5, 5, 12, 40], dtype=torch.float64)
x = x.float().double()
made = {"x": x.tolist(), **{name: ACT2FN[name](x).tolist() for name in NAMES}}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "transformers-activations.json"), "w") as file:
    json.dump(made, file)
    file.write("\n")

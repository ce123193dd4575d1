# Makes the fixtures of pytorch.test.js with PyTorch (2.15): a model of ../model/fixtures as a checkpoint, every type that weights have, and
# what is refused.
#
#   pip install torch==2.15.0 safetensors==0.8.0
#   python make_pytorch.py

import os
from collections import OrderedDict

import torch
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "fixtures", "pytorch")
TYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8"]


class Harmful:
    def __reduce__(self):
        return (os.system, ("echo run",))


def save(name, value, **options):
    torch.save(value, os.path.join(FOLDER, name + ".bin"), **options)


os.makedirs(FOLDER, exist_ok=True)

weights = load_file(os.path.join(HERE, "..", "model", "fixtures", "gpt_neo-2811-72.safetensors"))
model = OrderedDict((name, torch.nn.Parameter(x) if i % 3 == 0 else x) for i, (name, x) in enumerate(weights.items()))
# What older versions of transformers have beside the weights, and the head as the embedding itself.
model["transformer.h.0.attn.attention.bias"] = torch.ones(1, 1, 4, 4, dtype=torch.bool)
model["transformer.h.0.attn.attention.masked_bias"] = torch.tensor(-1e9)
model["lm_head.weight"] = model["transformer.wte.weight"]
model._metadata = {"": {"version": 1}}
save("pytorch_model", model)

six = torch.arange(6)
types = {name: six.reshape(2, 3).to(getattr(torch, name)) for name in TYPES}
types["bool"] = torch.tensor([False, True, True])
types["part"] = torch.arange(-3, 6, dtype=torch.float32).reshape(3, 3)[1:]
types["same"] = types["float32"]
types["scalar"] = torch.tensor(7.0)
types["empty"] = torch.ones(0, 3)
types["one"] = six.reshape(2, 3).t()[1:2].float()
save("types", types)
save("protocol4", {"float32": types["float32"]}, pickle_protocol=4)

save("strided", {"a": six.reshape(2, 3).float().t()})
save("harmful", {"a": types["float32"], "b": Harmful()})
save("nested", {"state_dict": {"a": types["float32"]}, "epoch": 3})
save("list", [types["float32"]])
save("complex", {"a": torch.ones(2, dtype=torch.complex64)})
shared = torch.ones(1024)
save("shared", {str(i): shared for i in range(300)})
save("old", {"a": types["float32"]}, _use_new_zipfile_serialization=False)

# Makes manifest.json and arguments.safetensors: Keras 3.15.1 and Keras Hub 0.31.1 on NumPy, seeded numbers. Arguments of the layers
# around the cached one, and pairs of them, that the cases of ../layers do not have.
#
#   KERAS_BACKEND=numpy python make.py

import json
import os

import keras
import keras_hub
import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = {
    "keras.layers.GroupQueryAttention": keras.layers.GroupQueryAttention,
    "keras_hub.RotaryEmbedding": keras_hub.layers.RotaryEmbedding,
    "keras_hub.SinePositionEncoding": keras_hub.layers.SinePositionEncoding,
    "keras.RMSNormalization": keras.layers.RMSNormalization,
    "keras.LayerNormalization": keras.layers.LayerNormalization,
}
PATHS = {"inputs": "inputs (positional)"}
random = np.random.default_rng(11)
tensors = {}
cases = []


def floats(*shape):
    return random.normal(size=shape).astype("float32")


def stored(array):
    kinds = {"b": "uint8", "i": "int32"}
    array = np.asarray(array)
    return np.ascontiguousarray(array.astype(kinds.get(array.dtype.kind, "float32")))


def case(name, layer, arguments, *calls, build=None, tolerance=1e-5):
    """Calls are dicts of arguments; the first one is positional."""
    made = CLASSES[layer](**arguments)
    if build:
        made.build(*map(tuple, build))
    entry = {"name": name, "tier": "core", "layer": layer, "constructor": arguments, "file": "arguments.safetensors", "calls": []}
    entry["build"] = build and ({"query_shape": build[0], "value_shape": build[1]} if len(build) == 2 else build)
    weights = [floats(*weight.shape) for weight in made.weights]
    if weights:
        made.set_weights(weights)
    entry["weights"] = [{"path": w.path, "shape": list(w.shape), "tensor": f"{name}/{i}"} for i, w in enumerate(made.weights)]
    tensors.update({f"{name}/{i}": weight for i, weight in enumerate(weights)})
    entry["config"] = made.get_config()
    for number, given in enumerate(calls):
        args, returns = {}, []
        for key, value in given.items():
            at = f"{name}/in/{number}/{key}"
            args[PATHS.get(key, key)] = {"tensor": at} if isinstance(value, np.ndarray) else value
            if isinstance(value, np.ndarray):
                tensors[at] = stored(value)
        call = {"args": args}
        first, *rest = given
        try:
            results = made(given[first], **{key: given[key] for key in rest})
        except ValueError as error:
            call["raises"] = {"type": "ValueError", "message": str(error).strip().splitlines()[2]}
        else:
            results = results if isinstance(results, tuple) else (results,)
            names = ["output"] if first == "inputs" else ["attention_output", "attention_scores"]
            for key, result in zip(names, results):
                tensors[f"{name}/out/{number}/{key}"] = stored(result)
                returns.append({"name": key, "tensor": f"{name}/out/{number}/{key}", "dtype": str(result.dtype)})
            call["returns"] = returns
            if "activity_regularizer" in arguments:
                call["losses"] = [float(loss) for loss in made.losses]
        entry["calls"].append(call)
    entry["tolerance"] = {"atol": tolerance, "rtol": tolerance}
    cases.append(entry)


ROTARY = "keras_hub.RotaryEmbedding"
x = floats(2, 5, 3, 8)
positions = random.integers(0, 60, (2, 5)).astype("int32")
case("dynamic_of_two_features", ROTARY, {"rope_type": "dynamic", "scaling_factor": 4.0}, {"inputs": x[..., :2].copy(), "start_index": 7})
case("yarn_ramp", ROTARY, {"rope_type": "yarn", "scaling_factor": 4.0}, {"inputs": x[..., :4].copy(), "start_index": 7}, {"inputs": x})
case("yarn_denominator", ROTARY, {"rope_type": "yarn", "scaling_factor": 2.0, "denominator_dim": 12}, {"inputs": x, "start_index": 9})
case("linear_denominator", ROTARY, {"scaling_factor": 1.7, "denominator_dim": 12}, {"inputs": x, "start_index": 9})
case("rotary_positions", ROTARY, {}, {"inputs": x, "positions": positions}, {"inputs": x, "positions": positions[:1].copy()},
     {"inputs": x, "positions": positions[:, :1].copy()}, {"inputs": floats(5, 8)})
case("rotary_axes", ROTARY, {"sequence_axis": 0, "feature_axis": 2}, {"inputs": floats(5, 2, 8, 3), "positions": positions},
     {"inputs": floats(3, 2, 4), "start_index": 2})
case("rotary_features_first", ROTARY, {"sequence_axis": 1, "feature_axis": 0}, {"inputs": floats(4, 5, 2), "positions": positions})

SINE = "keras_hub.SinePositionEncoding"
case("sine_positions", SINE, {}, {"inputs": floats(3, 2, 5, 6), "positions": positions}, {"inputs": floats(2, 5, 7)}, {"inputs": floats(5, 6)})
case("sine_float16", SINE, {"dtype": "float16"}, {"inputs": floats(1, 3, 8), "start_index": 2049}, tolerance=2e-3)

for axis in [[2, 1], [-1, 1], -2]:
    case(f"layer_norm_axis_{axis}", "keras.LayerNormalization", {"axis": axis}, {"inputs": floats(2, 3, 4)}, build=[[2, 3, 4]])
case("layer_norm_rms_axes", "keras.LayerNormalization", {"axis": [2, 1], "rms_scaling": True}, {"inputs": floats(2, 3, 4)}, build=[[2, 3, 4]])
case("rms_last_axes", "keras.RMSNormalization", {"axis": [2, 1]}, {"inputs": floats(2, 3, 4)}, build=[[2, 3, 4]])
case("rms_inner_axis", "keras.RMSNormalization", {"axis": -2}, {"inputs": floats(2, 3, 4)}, build=[[2, 3, 4]])

# Alone, what is above 0.5 is kept; beside another mask, what is not 0.
GROUPS = {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}
given = {"query": floats(2, 5, 6), "value": floats(2, 5, 6), "attention_mask": np.round(random.random((2, 5, 5)), 1).astype("float32")}
kept = random.random((2, 5)) < 0.7
scores = {"return_attention_scores": True}
for name, more in [("alone", {}), ("causal", {"use_causal_mask": True}), ("key_mask", {"key_mask": kept}), ("query_mask", {"query_mask": kept})]:
    case(f"fractions_{name}", "keras.layers.GroupQueryAttention", GROUPS, {**given, **more, **scores}, build=[[2, 5, 6], [2, 5, 6]])
case("fractions_window", "keras.layers.GroupQueryAttention", {**GROUPS, "sliding_window": 9}, {**given, **scores}, build=[[2, 5, 6], [2, 5, 6]])

# The grouped layer regularizes what it gives, and what its projections give: of the gate what the sigmoid makes of it.
for name, more in [("gate", {"use_gate": True, "kernel_regularizer": "l2"}), ("plain", {})]:
    call = {"query": floats(2, 3, 6), "value": floats(2, 4, 6)}
    arguments = {**GROUPS, **more, "activity_regularizer": "l1"}
    case(f"losses_{name}", "keras.layers.GroupQueryAttention", arguments, call, {**call, **scores}, build=[[2, 3, 6], [2, 4, 6]])

# A decoder whose encoder has other features than itself.
decoder = keras_hub.layers.TransformerDecoder(intermediate_dim=7, num_heads=3)
decoder.build((2, 4, 6), (2, 5, 9))
decoder.set_weights([floats(*weight.shape) for weight in decoder.weights])
suite = {"build": [[2, 4, 6], [2, 5, 9]], "intermediate_dim": 7, "num_heads": 3, "weights": len(decoder.weights)}
suite["tolerance"] = {"atol": 1e-4, "rtol": 1e-4}
tensors.update({f"decoder/{i}": weight for i, weight in enumerate(decoder.get_weights())})
tensors["decoder/in/sequence"], tensors["decoder/in/encoder"] = floats(2, 4, 6), floats(2, 5, 9)
tensors["decoder/out"] = stored(decoder(tensors["decoder/in/sequence"], tensors["decoder/in/encoder"]))

save_file(tensors, os.path.join(HERE, "arguments.safetensors"))
with open(os.path.join(HERE, "manifest.json"), "w") as file:
    json.dump({"cases": cases, "suites": {"decoder": suite}}, file, separators=(",", ":"))
    file.write("\n")

# Makes the presets of ../keras-presets.test.js and their logits: Keras 3.15.1 and Keras Hub 0.31.1 on NumPy, seeded weights.
# Gemma quantized: its kernels of queries, keys and values are (heads, inputs, size), unlike all others.
#
#   KERAS_BACKEND=numpy python make.py

import json
import os
import shutil

import keras_hub
import numpy as np
from keras.quantizers import Int4QuantizationConfig

HERE = os.path.dirname(os.path.abspath(__file__))
IDS = [1, 5, 9, 22, 3, 17, 30, 8]
SIZES = {"vocabulary_size": 37, "num_layers": 1, "num_query_heads": 2, "num_key_value_heads": 1, "hidden_dim": 12}
WINDOW = {"use_sliding_window_attention": True, "sliding_window_size": 4}
SANDWICH = {"use_post_ffw_norm": True, "use_post_attention_norm": True}


def gemma(**more):
    return keras_hub.models.GemmaBackbone(**SIZES, intermediate_dim=32, **more)


def gemma3(**more):
    parts = {"image_size": None, "vision_encoder": None, "use_query_key_norm": True, **SANDWICH, **more}
    return keras_hub.models.Gemma3Backbone(**SIZES, intermediate_dim=20, head_dim=8, **parts, **WINDOW)


def llama(heads=2, width=128):
    sizes = {**SIZES, "num_query_heads": heads, "hidden_dim": width, "intermediate_dim": width}
    return keras_hub.models.LlamaBackbone(**sizes)


# Heads that do not divide the width, several of them, blocks smaller than the inputs, one scale for each output.
PRESETS = {
    "gemma-int8": (lambda: gemma(head_dim=10), "int8", None),
    "gemma2-int4-blocks": (
        lambda: gemma(head_dim=8, attention_logit_soft_cap=50, final_logit_soft_cap=30, **WINDOW, **SANDWICH),
        "int4",
        Int4QuantizationConfig(block_size=4),
    ),
    "gemma3-int4": (gemma3, "int4", Int4QuantizationConfig(block_size=-1)),
    "gemma3-int8": (gemma3, "int8", None),
    # Inputs enough for blocks of 128: the integers stay as they are.
    "llama-int4": (llama, "int4", None),
    "llama-int4-outputs": (llama, "int4", Int4QuantizationConfig(block_size=-1)),
    # Blocks that lack a norm which others of their kind have.
    "gemma-one-norm": (lambda: gemma(head_dim=8, use_post_ffw_norm=True, **WINDOW), None, None),
    "gemma-capped": (lambda: gemma(head_dim=8, attention_logit_soft_cap=50), None, None),
    "gemma3-few-norms": (lambda: gemma3(use_post_attention_norm=False, use_query_key_norm=False), None, None),
    # A width that three heads of 4 do not fill.
    "llama-uneven": (lambda: llama(3, 14), None, None),
}


def main():
    random = np.random.default_rng(3)
    cases = []
    for name, (make, mode, config) in PRESETS.items():
        backbone = make()
        backbone.set_weights([
            (random.normal(size=w.shape) * (0.4 if w.ndim > 1 else 0.2)).astype("float32") for w in backbone.get_weights()
        ])
        if mode:
            backbone.quantize(mode, **({"config": config} if config else {}))
        ids = np.array([IDS])
        hidden = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        logits = np.asarray(backbone.token_embedding(hidden, reverse=True))[0]
        shutil.rmtree(os.path.join(HERE, name), ignore_errors=True)
        backbone.save_to_preset(os.path.join(HERE, name))
        cases.append({"name": name, "quantized": mode, "ids": IDS, "logits": logits.astype("float64").round(7).ravel().tolist()})
    with open(os.path.join(HERE, "cases.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()

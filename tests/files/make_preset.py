# Makes fixtures/preset/, which readme.test.js loads: a GPT-2 preset as Keras Hub 0.31.1 saves it, of seeded weights, and
# beside it preset.json, what Keras writes with it.
#
#   KERAS_BACKEND=numpy python make_preset.py

import json
import os

import keras_hub
import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
PROMPT = "Once upon a time"

merges = ["o n", "on ce", "c e", "\u0120 a", "\u0120 t", "i m", "\u0120t im", "u p"]
words = [*"!Oabcdefghijklmnopqrstuvwxyz.,\u0120", *(merge.replace(" ", "") for merge in merges), "<|endoftext|>"]
models = keras_hub.models
tokenizer = models.GPT2Tokenizer({word: i for i, word in enumerate(words)}, merges)
preprocessor = models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=48)
backbone = models.GPT2Backbone(len(words), 1, 2, 16, 32, max_sequence_length=48)
random = np.random.default_rng(3)
backbone.set_weights([
    (random.normal(size=w.shape) * (0.5 if w.ndim > 1 else 0.2) + ("gamma" in v.path)).astype("float32")
    for v, w in zip(backbone.weights, backbone.get_weights())
])
model = models.GPT2CausalLM(backbone, preprocessor)
model.compile(sampler="greedy")
model.save_to_preset(os.path.join(FOLDER, "preset"))
with open(os.path.join(FOLDER, "preset.json"), "w") as file:
    json.dump({"prompt": PROMPT, "text": model.generate(PROMPT, max_length=40)}, file)
    file.write("\n")

"""Write an exported model (export.py) as one GGUF file with quantized matrices: the file that ships.

    python quantize.py --model export --out ../model.gguf

Matrices become blocks of 32 weights, rounded to nearest as llama.cpp rounds them;
TYPES says which kind of block each gets. Gains, biases and positions stay floats.
The tokenizer goes into the metadata: `gpt-2` there is the rule by which the
`ByteLevel` of tokenizer.json cuts texts.
"""

import argparse
import hashlib
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file

# GGUF's names for the parts, and the types of what is no vector.
NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
TYPES = {
    "token_embd": Type.Q8_0,
    "position_embd": Type.F16,
    "attn_qkv": Type.Q8_0,
    "attn_output": Type.Q8_0,
    "ffn_up": Type.Q4_1,
    "ffn_down": Type.Q4_1,
}


def place(name):
    """(GGUF name, kind) of a tensor of the export: `h.0.ln_1.bias` is (`blk.0.attn_norm.bias`, `attn_norm`)."""
    *path, part = name.split(".")
    layer = f"blk.{path[1]}." if path[0] == "h" else ""
    kind = NAMES[".".join(path[2:] if layer else path)]
    return f"{layer}{kind}.{part}", kind


def add_tokenizer(writer, tokenizer, config):
    model = tokenizer["model"]
    assert tokenizer["pre_tokenizer"]["type"] == "ByteLevel" and model["type"] == "BPE"
    assert tokenizer["normalizer"] is None and not tokenizer["pre_tokenizer"]["add_prefix_space"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    assert [model["vocab"][token] for token in tokens] == list(range(config["vocab_size"]))
    special = {token["content"] for token in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens]
    )
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(True)


def add_config(writer, config):
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of config.json, model.safetensors, tokenizer.json")
    parser.add_argument("--out", required=True, help="the GGUF file")
    parser.add_argument("--types", default="", help="other types, for trials: ffn_up=Q5_1,ffn_down=Q8_0")
    args = parser.parse_args()
    folder = pathlib.Path(args.model)
    types = TYPES | {kind: Type[name] for kind, name in (pair.split("=") for pair in args.types.split(",") if pair)}

    config = json.loads((folder / "config.json").read_text())
    assert config["activation_function"] == "gelu_new" and config["tie_word_embeddings"], "what GGUF's gpt2 implies"
    writer = gguf.GGUFWriter(args.out, "gpt2")
    writer.add_name("cached-attention embedded")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_config(writer, config)
    add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")), config)
    for name, weights in load_file(folder / "model.safetensors").items():
        target, kind = place(name)
        type = types[kind] if weights.ndim == 2 else Type.F32
        # The export has [in, out] but for the embeddings, GGUF a row for each output.
        rows = weights.T if name.startswith("h.") and weights.ndim == 2 else weights
        data = gguf.quants.quantize(np.ascontiguousarray(rows, dtype=np.float32), type)
        writer.add_tensor(target, data, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    data = pathlib.Path(args.out).read_bytes()
    print(json.dumps({"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}))


if __name__ == "__main__":
    main()

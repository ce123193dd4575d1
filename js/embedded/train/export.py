"""Write a training checkpoint as config.json, model.safetensors (F16) and tokenizer.json.

The weights' metadata repeats the other two, so that `model.safetensors` alone can be loaded.

    python export.py --checkpoint run/checkpoint.pt --tokenizer tokenizer.json --out export

`--weights mean` takes the running mean of the weights instead of the last ones.
The recipe's figures (steps, tokens seen, time) go to standard output.
"""

import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--weights", choices=["model", "mean"], default="model")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True, help="folder to write to")
    args = parser.parse_args()

    state = torch.load(args.checkpoint, weights_only=False)
    weights = {name: tensor.to(torch.float16).contiguous() for name, tensor in state[args.weights].items()}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values()), "a weight does not fit F16"

    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = json.loads(pathlib.Path(args.tokenizer).read_text(encoding="utf-8"))
    # With these two the file is the whole model by itself.
    metadata = {
        "format": "pt",
        "config": json.dumps(state["config"]),
        "tokenizer": json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")),
    }
    save_file(weights, out / "model.safetensors", metadata=metadata)
    (out / "config.json").write_text(json.dumps(state["config"], indent=2) + "\n")
    if pathlib.Path(args.tokenizer).resolve() != (out / "tokenizer.json").resolve():
        shutil.copyfile(args.tokenizer, out / "tokenizer.json")

    print(
        json.dumps(
            {
                "weights": args.weights,
                "parameters": sum(tensor.numel() for tensor in weights.values()),
                "bytes": (out / "model.safetensors").stat().st_size,
                "steps": state["step"],
                "tokens": state["tokens"],
                "epochs": state["tokens"] / state["unique_tokens"],
                "training_minutes": state["busy"] / 60,
            }
        )
    )


if __name__ == "__main__":
    main()

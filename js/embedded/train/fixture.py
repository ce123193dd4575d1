"""Reference outputs of the shipped model, for the tests of other implementations.

    python fixture.py --model ../model.gguf --out ../../../../tests/golden/embedded

`logits.safetensors` holds, for each prompt, its token ids (the start token
first, I32) and the logits of every position (F32), computed in float64 from what
the blocks of the file that ships stand for; then the first prompt's ids again with a greedy
continuation of 40 tokens (`greedy.prompt`, `greedy.tokens`, the latter without
the prompt). The metadata names the weights by their SHA-256.

`score.json` holds a text and its total negative log-likelihood in nats, read
cold after the start token.
"""

import argparse
import hashlib
import json
import pathlib

import torch
from safetensors.torch import save_file

from evaluate import load_model, negative_log_likelihood

SHORT_PROMPT = "Once upon a time, there was"
LONG_PROMPT = (
    'One day, Tim and his sister went to the lake. The water was cold, but the sun was warm. "Look!" said Tim. '
    '"A little boat!" They wanted to sail to the other side, so they asked their dad for help. He smiled and said, '
    '"Yes, but you must wear your red vests."\n\nTim was'
)
SCORED_TEXT = (
    "Anna had a small green kite. Every windy day she ran up the hill behind her house and let the kite fly high in "
    "the sky. One morning the string broke, and the kite flew away over the trees.\n\n"
    '"Oh no!" said Anna. "My kite is gone!" She looked in the garden and under the old bridge, but she could not '
    "find it. Then a big brown owl came down and sat on the fence. \"I saw your kite,\" said the owl. \"It is on the "
    'roof of the barn."\n\n'
    "Anna thanked the owl and ran to the barn with her dad. He had a long ladder. Soon she had her kite back, and "
    "she tied it with a new, strong string.\n"
)
GREEDY_TOKENS = 40


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the GGUF file")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    model, tokenizer, start = load_model(args.model, torch.float64)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    tensors = {}
    for name, prompt in (("short", SHORT_PROMPT), ("long", LONG_PROMPT)):
        ids = torch.tensor([start] + tokenizer.encode(prompt).ids)
        tensors[f"{name}.tokens"] = ids.int()
        tensors[f"{name}.logits"] = model(ids[None])[0].float()

    prompt = tensors["short.tokens"].tolist()
    ids = list(prompt)
    for _ in range(GREEDY_TOKENS):
        ids.append(model(torch.tensor([ids]))[0, -1].argmax().item())
    tensors["greedy.prompt"] = torch.tensor(prompt, dtype=torch.int32)
    tensors["greedy.tokens"] = torch.tensor(ids[len(prompt) :], dtype=torch.int32)

    weights = pathlib.Path(args.model).read_bytes()
    metadata = {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "short.text": SHORT_PROMPT,
        "long.text": LONG_PROMPT,
        "greedy.text": tokenizer.decode(ids[len(prompt) :], skip_special_tokens=False),
    }
    save_file(tensors, out / "logits.safetensors", metadata=metadata)

    sequence = tokenizer.encode(SCORED_TEXT).ids
    scored = {
        "text": SCORED_TEXT,
        "nats": negative_log_likelihood(model, [sequence], start)[0],
        "tokens": len(sequence),
        "bytes": len(SCORED_TEXT.encode("utf-8")),
        "weights_sha256": metadata["weights_sha256"],
    }
    (out / "score.json").write_text(json.dumps(scored, indent=2) + "\n")
    print(json.dumps({"greedy": metadata["greedy.text"], "nats": scored["nats"], "tokens": scored["tokens"]}))


if __name__ == "__main__":
    main()

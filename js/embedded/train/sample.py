"""Tell a story with the shipped model: temperature, top-k and top-p sampling.

    python sample.py --model ../model.gguf --prompt "Once upon a time" --seed 1
"""

import argparse

import torch

from evaluate import load_model


@torch.no_grad()
def sample(model, ids, end, length, temperature=0.7, top_k=40, top_p=0.95):
    """`ids` continued until the end mark or `length` tokens."""
    while len(ids) < length:
        logits = model(torch.tensor([ids]))[0, -1] / temperature
        values, indices = logits.topk(top_k)
        odds = values.softmax(-1)
        odds[odds.cumsum(-1) - odds > top_p] = 0
        chosen = indices[torch.multinomial(odds, 1)].item()
        if chosen == end:
            break
        ids = ids + [chosen]
    return ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a GGUF file, or the folder that export.py wrote")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-k", type=int, default=40)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model, tokenizer, end = load_model(args.model)
    ids = [end] + tokenizer.encode(args.prompt).ids
    ids = sample(model, ids, end, model.config.n_positions, args.temperature, args.top_k, args.top_p)
    print(tokenizer.decode(ids[1:]))


if __name__ == "__main__":
    main()

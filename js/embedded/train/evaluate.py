"""Bits per byte of the shipped model on a text.

    python evaluate.py --model .. --text valid.txt --bytes 40000

The first `--bytes` bytes of the text (its last, partial line left out) are
packed greedily, whole lines in order, into pieces of at most 1,000 bytes. Each
piece is read cold: the start token comes first, every token of the piece is
predicted, and nothing is carried over from the piece before. The figure is the
sum of all negative log-likelihoods, in bits, over the bytes of all pieces.
"""

import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from model import GPT2, Config

PIECE_BYTES = 1000


def pack(text, limit=PIECE_BYTES):
    """Whole lines of `text` (bytes), in order, in pieces of at most `limit` bytes."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    pieces = []
    for line in lines:
        if pieces and len(pieces[-1]) + len(line) <= limit:
            pieces[-1] += line
        else:
            pieces.append(line)
    return pieces


def load_model(folder, dtype=torch.float32):
    """(model, tokenizer, end-of-text id) as shipped: F16 weights, computed in `dtype`."""
    folder = pathlib.Path(folder)
    fields = json.loads((folder / "config.json").read_text())
    model = GPT2(Config.from_json(fields)).to(dtype)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return model.eval(), tokenizer, fields["eos_token_id"]


@torch.no_grad()
def negative_log_likelihood(model, sequences, start, batch_size=32):
    """Nats of each token sequence after the start token."""
    nats = [0.0] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        length = max(len(sequences[index]) for index in batch)
        inputs = torch.full((len(batch), length), start)
        targets = torch.full((len(batch), length), -1)
        for row, index in enumerate(batch):
            ids = torch.tensor(sequences[index])
            inputs[row, 1 : len(ids)] = ids[:-1]
            targets[row, : len(ids)] = ids
        losses = F.cross_entropy(model(inputs).mT, targets, ignore_index=-1, reduction="none")
        for row, index in enumerate(batch):
            nats[index] = losses[row].double().sum().item()
    return nats


def score(model, tokenizer, start, pieces):
    """{bits_per_byte, nats, tokens, bytes} of the pieces (bytes), each read cold."""
    sequences = [tokenizer.encode(piece.decode("utf-8")).ids for piece in pieces]
    nats = sum(negative_log_likelihood(model, sequences, start))
    size = sum(len(piece) for piece in pieces)
    return {
        "bits_per_byte": nats / math.log(2) / size,
        "nats": nats,
        "tokens": sum(len(sequence) for sequence in sequences),
        "bytes": size,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of config.json, model.safetensors, tokenizer.json")
    parser.add_argument("--text", required=True)
    parser.add_argument("--skip", type=int, default=0, help="bytes left out at the head of the text")
    parser.add_argument("--bytes", type=int, default=40_000)
    args = parser.parse_args()

    model, tokenizer, start = load_model(args.model)
    text = pathlib.Path(args.text).read_bytes()[args.skip : args.skip + args.bytes]
    if args.skip:
        text = text[text.index(b"\n") + 1 :]
    result = score(model, tokenizer, start, pack(text))
    print(json.dumps({**result, "parameters": model.parameter_count()}))


if __name__ == "__main__":
    main()

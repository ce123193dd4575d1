"""Bits per byte of the shipped model on a text.

    python evaluate.py --model ../model.gguf --text valid.txt --bytes 40000

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

import gguf
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from model import GPT2, Config
from quantize import place

PIECE_BYTES = 1000
TOKENIZER = pathlib.Path(__file__).with_name("tokenizer.json")


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


def load_model(path, dtype=torch.float32):
    """(model, tokenizer, end-of-text id), computed in `dtype`: of the file that ships, or of an export's folder."""
    path = pathlib.Path(path)
    if path.is_dir():
        fields = json.loads((path / "config.json").read_text())
        config, end = Config.from_json(fields), fields["eos_token_id"]
        weights = load_file(path / "model.safetensors")
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    else:
        reader = gguf.GGUFReader(path)
        config, end = read_config(reader)
        weights = read_weights(reader, GPT2(config).state_dict())
        tokenizer = Tokenizer.from_file(str(TOKENIZER))
    model = GPT2(config).to(dtype)
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()})
    return model.eval(), tokenizer, end


def read_config(reader):
    """(shape, end-of-text id) of a GGUF file."""
    value = lambda key: reader.get_field(key).contents()
    config = Config(
        vocab_size=len(value("tokenizer.ggml.tokens")),
        n_positions=value("gpt2.context_length"),
        n_embd=value("gpt2.embedding_length"),
        n_layer=value("gpt2.block_count"),
        n_head=value("gpt2.attention.head_count"),
        layer_norm_epsilon=value("gpt2.attention.layer_norm_epsilon"),
    )
    return config, value("tokenizer.ggml.eos_token_id")


def read_weights(reader, names):
    """What the blocks of a GGUF file stand for, as tensors under the model's names."""
    tensors = {
        tensor.name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in reader.tensors
    }
    weights = {name: tensors.pop(place(name)[0]) for name in names}
    assert not tensors, "a tensor that the model does not know"
    return {name: w.T if name.startswith("h.") and w.ndim == 2 else w for name, w in weights.items()}


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
    parser.add_argument("--model", required=True, help="a GGUF file, or the folder that export.py wrote")
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

"""Train the model on a CPU until a given time of day.

    python train.py --text train.txt --held-out valid.txt --tokenizer tokenizer.json \
        --run run --minutes 120

The learning rate follows the wall clock: a short warm-up, a constant stretch,
then a straight line that reaches zero at the deadline, however fast or slow the
machine was meanwhile. `run/checkpoint.pt` is written every few minutes, when the
program is asked to terminate, and at the end; the same command resumes from it,
`--until` moves the deadline.
"""

import argparse
import json
import os
import pathlib
import signal
import time
from datetime import datetime

import torch
from tokenizers import Tokenizer

from data import END_OF_TEXT, Windows, encode_stories
from evaluate import pack, score
from model import GPT2, Config, sinusoids
from optim import make_optimizers
from parallel import PARTS, Gradients


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True, help="stories, each ended by a line <|endoftext|>")
    parser.add_argument("--held-out", required=True, help="text to watch the training by; never trained on")
    parser.add_argument("--held-out-skip", type=int, default=40_000, help="bytes at its head kept for the final measure")
    parser.add_argument("--held-out-bytes", type=int, default=120_000)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--run", required=True, help="folder of the checkpoint and the log")
    parser.add_argument("--minutes", type=float, default=120, help="wall time from the first start to the end")
    parser.add_argument("--until", help="ISO time that replaces the deadline set by --minutes")
    parser.add_argument("--width", type=int, default=224)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=7)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--short", type=int, default=288, help="tokens of a short window")
    parser.add_argument("--batch", type=int, default=4096, help="tokens a step, about")
    parser.add_argument("--lr-matrix", type=float, default=0.02)
    parser.add_argument("--lr-embedding", type=float, default=0.004)
    parser.add_argument("--lr-vector", type=float, default=0.004)
    parser.add_argument("--weight-decay", type=float, default=0.1, help="of the hidden matrices")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--warm-up", type=int, default=60, help="steps")
    parser.add_argument("--decay-from", type=float, default=0.5, help="share of the time after which the rate falls")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the running mean of the weights")
    parser.add_argument("--report", type=int, default=250, help="steps between two held-out scores")
    parser.add_argument("--save-minutes", type=float, default=4)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Run:
    """Everything a checkpoint holds: weights, their running mean, optimizers, data position, clock."""

    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.args = args
        self.folder = pathlib.Path(args.run)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer = Tokenizer.from_file(args.tokenizer)
        self.end = self.tokenizer.token_to_id(END_OF_TEXT)
        self.config = Config(self.tokenizer.get_vocab_size(), args.positions, args.width, args.layers, args.heads)

        self.model = GPT2(self.config, args.dropout)
        with torch.no_grad():
            self.model.wpe.weight.copy_(0.02 * sinusoids(args.positions, args.width))
        self.mean = GPT2(self.config).eval()
        self.mean.load_state_dict(self.model.state_dict())
        self.optimizers = make_optimizers(
            self.model, args.lr_matrix, args.lr_embedding, args.lr_vector, args.weight_decay
        )

        stories = encode_stories(pathlib.Path(args.text).read_text(encoding="utf-8"), self.tokenizer)
        lengths = (args.positions, args.short)
        shapes = [(PARTS * max(1, round(args.batch / PARTS / length)), length) for length in lengths]
        self.batch_tokens = max(rows * (length + 1) for rows, length in shapes)
        self.windows = Windows(stories, self.tokenizer, *shapes, seed=args.seed)
        self.unique_tokens = sum(len(paragraph) + 2 for story in stories for paragraph in story)

        held_out = pathlib.Path(args.held_out).read_bytes()[args.held_out_skip :][: args.held_out_bytes]
        self.pieces = pack(held_out[held_out.index(b"\n") + 1 :])

        self.step = self.tokens = 0
        self.busy = 0.0  # seconds of training, pauses between two runs left out
        self.stopping = False
        self.start = time.time()
        self.deadline = self.start + 60 * args.minutes

    @property
    def checkpoint(self):
        return self.folder / "checkpoint.pt"

    def save(self):
        state = {
            "config": self.config.to_json(self.end),
            "args": vars(self.args),
            "model": self.model.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "windows": self.windows.state(),
            "step": self.step,
            "tokens": self.tokens,
            "unique_tokens": self.unique_tokens,
            "busy": self.busy,
            "start": self.start,
            "deadline": self.deadline,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def resume(self):
        state = torch.load(self.checkpoint, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["mean"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, peak in zip(optimizer.param_groups, peaks):
                group["peak"] = peak
        self.windows.resume(state["windows"])
        for name in ("step", "tokens", "busy", "start", "deadline"):
            setattr(self, name, state[name])

    def rate(self):
        """Share of the peak learning rate, by the step while warming up, then by the clock."""
        elapsed = (time.time() - self.start) / (self.deadline - self.start)
        falling = (1 - elapsed) / (1 - self.args.decay_from)
        return max(0.0, min(1.0, (self.step + 1) / self.args.warm_up, falling))

    def log(self, **fields):
        line = json.dumps({"step": self.step, **fields})
        print(line, flush=True)
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def report(self, losses, rate, speed):
        scores = {}
        for name, model in (("held_out", self.model), ("held_out_mean", self.mean)):
            model.eval()
            scores[name] = round(score(model, self.tokenizer, self.end, self.pieces)["bits_per_byte"], 4)
        self.model.train()
        self.log(
            time=datetime.now().isoformat(timespec="seconds"),
            epoch=round(self.tokens / self.unique_tokens, 2),
            loss=round(torch.stack(losses).mean().item(), 4),
            rate=round(rate, 3),
            tokens_per_second=round(speed),
            **scores,
        )

    def train(self):
        gradients = Gradients(self.model, self.args.workers, self.batch_tokens, self.args.seed)
        losses, counted, saved = [], 0, time.time()
        began = time.time()
        while time.time() < self.deadline and not self.stopping:
            ticked = time.time()
            rate = self.rate()
            ids = self.windows.next()
            loss = gradients.compute(ids)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * rate
                optimizer.step()
            with torch.no_grad():
                decay = min(self.args.average, (self.step + 1) / (self.step + 10))
                torch._foreach_lerp_(list(self.mean.parameters()), list(self.model.parameters()), 1 - decay)

            self.step += 1
            self.tokens += ids.numel() - len(ids)
            self.busy += time.time() - ticked
            losses.append(loss)
            counted += ids.numel() - len(ids)
            if self.step % self.args.report == 0:
                self.report(losses, rate, counted / (time.time() - began))
                losses, counted, began = [], 0, time.time()
            if time.time() - saved > 60 * self.args.save_minutes:
                self.save()
                saved = time.time()
        self.save()
        if losses and not self.stopping:
            self.report(losses, 0.0, counted / (time.time() - began))


def main():
    args = parse_arguments()
    torch.set_num_threads(1)
    run = Run(args)
    if run.checkpoint.exists():
        run.resume()
    if args.until:
        run.deadline = datetime.fromisoformat(args.until).timestamp()
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "stopping", True))
    run.log(parameters=run.model.parameter_count(), unique_tokens=run.unique_tokens)
    run.train()


if __name__ == "__main__":
    main()

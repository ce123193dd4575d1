"""Training windows: token sequences that begin cold, as the model is used and measured.

Stories are cut into paragraphs, and paragraphs are always joined by a blank
line, as in the original TinyStories. There are two kinds of windows:

* long ones hold whole stories, each closed by the end mark, and begin with a
  story. They train every position and teach where a story ends;
* short ones begin at any paragraph and run on over story boundaries without a
  mark, as a piece of plain text does.

Both start after the end mark, which is also the start token. A window is always
filled; the next one begins at the last fitting boundary before the cut, so a
few tokens are seen twice and none is padding.
"""

import random

import numpy as np
import torch

END_OF_TEXT = "<|endoftext|>"
LONG_SHARE = 0.3  # of the stories, drawn anew each epoch
SKIP_STORY_START = 0.8  # short windows seldom begin with a story: long ones own that case


def encode_stories(text, tokenizer):
    """Stories as lists of paragraphs, each a list of token ids."""
    stories = [[line.strip() for line in story.splitlines()] for story in text.split(END_OF_TEXT)]
    stories = [[line for line in story if line] for story in stories]
    stories = [story for story in stories if story]
    encoded = iter(tokenizer.encode_batch([line for story in stories for line in story]))
    return [[next(encoded).ids for _ in story] for story in stories]


class Windows:
    """An endless, resumable supply of batches `[n, length + 1]`, start token included."""

    def __init__(self, stories, tokenizer, long_shape, short_shape, seed=0):
        self.stories = stories
        self.end = tokenizer.token_to_id(END_OF_TEXT)
        self.newline = tokenizer.encode("\n").ids
        self.long_shape, self.short_shape, self.seed = long_shape, short_shape, seed
        self.epoch, self.position, self.batches = -1, 0, []

    def _stream(self, chosen, marked):
        """(tokens, offsets of stories, offsets of paragraphs) of the chosen stories, joined."""
        tokens, story_starts, paragraph_starts = [], [], []
        for index in chosen:
            story_starts.append(len(tokens))
            for paragraph in self.stories[index]:
                paragraph_starts.append(len(tokens))
                tokens += paragraph + 2 * self.newline
            if marked:
                tokens[-2 * len(self.newline) :] = [self.end]
        return np.array(tokens, dtype=np.int64), story_starts, paragraph_starts

    def _windows(self, tokens, starts, length):
        """Windows of `length` tokens that begin at some of the `starts`, after the start token."""
        starts = np.array(starts)
        rows, at = [], 0
        while at < len(starts) and starts[at] + length <= len(tokens):
            begin = starts[at]
            rows.append(np.concatenate([[self.end], tokens[begin : begin + length]]))
            at = max(at + 1, np.searchsorted(starts, begin + length, side="right") - 1)
        return rows

    def _build(self, epoch):
        rng = random.Random(f"{self.seed}-{epoch}")
        order = rng.sample(range(len(self.stories)), len(self.stories))
        split = int(LONG_SHARE * len(order))

        tokens, starts, _ = self._stream(order[:split], marked=True)
        long_rows = self._windows(tokens, starts, self.long_shape[1])
        tokens, story_starts, starts = self._stream(order[split:], marked=False)
        skipped = {start for start in story_starts if rng.random() < SKIP_STORY_START}
        starts = [start for start in starts if start not in skipped]
        short_rows = self._windows(tokens, starts, self.short_shape[1])

        batches = []
        for rows, (size, _) in ((long_rows, self.long_shape), (short_rows, self.short_shape)):
            rng.shuffle(rows)
            batches += [rows[first : first + size] for first in range(0, len(rows) - size + 1, size)]
        rng.shuffle(batches)
        return batches

    def next(self):
        if self.position >= len(self.batches):
            self.epoch, self.position = self.epoch + 1, 0
            self.batches = self._build(self.epoch)
        batch = self.batches[self.position]
        self.position += 1
        return torch.from_numpy(np.stack(batch))

    def state(self):
        return {"epoch": self.epoch, "position": self.position}

    def resume(self, state):
        self.epoch, self.position = state["epoch"], state["position"]
        self.batches = self._build(self.epoch)

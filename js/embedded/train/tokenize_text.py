"""Train the byte-level BPE vocabulary and write it as a `tokenizer.json`.

    python tokenize_text.py --text train.txt --vocab 4096 --out tokenizer.json

The vocabulary is learnt from the training text alone. Lines are fed one at a
time without their newlines, so no merge ever spans a line break: a newline is
always one token of its own, whatever surrounds it.
"""

import argparse

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(lines, vocab_size):
    """A GPT-2 style tokenizer: the 256 bytes, `vocab_size - 257` merges, and the end mark as id 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_TEXT],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True, help="training text, stories ended by <|endoftext|> lines")
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    with open(args.text, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    tokenizer = train_tokenizer((line for line in lines if line and line != END_OF_TEXT), args.vocab)
    tokenizer.save(args.out)
    print(f"{tokenizer.get_vocab_size()} tokens, end mark {tokenizer.token_to_id(END_OF_TEXT)}")


if __name__ == "__main__":
    main()

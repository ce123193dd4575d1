# Makes the tokenizers of ../kinds.test.js and what Hugging Face's tokenizers (0.23.3) gives for each text: kinds of
# tokenizer on which readers of tokenizer.json have been wrong, each in more than one form.
#
#   pip install tokenizers==0.23.3 && python make.py

import json
import os

from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = "the cat sat on the mat, a dog and 12 cats in 2024; it's the end. können naïve Straße 東京 cat's dog's 1st 22nd 333 "
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level():
    """The JSON of a byte-level BPE that has seen a few words."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS] * 3, trainer)
    return json.loads(tokenizer.to_str())


def words(*tokens):
    """A vocabulary of whole words, which shows pieces as they are."""
    return {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(["?", *tokens])}, "unk_token": "?"}


def added(first, *tokens):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return [{"id": first + i, **plain, **token} for i, token in enumerate(tokens)]


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def tokenizers():
    """(kind, name, JSON, texts)"""
    # Kind: added tokens that are whole words.
    one = byte_level()
    one["added_tokens"] += added(
        290,
        {"content": "dog", "single_word": True, "lstrip": True},
        {"content": "Straße", "single_word": True},
        {"content": "東京", "single_word": True},
        {"content": "<s>", "single_word": True, "special": True},
        {"content": "1st", "single_word": True, "rstrip": True},
    )
    texts = [
        "dog",
        "a  dog  sat",
        "dogs",
        "_dog",
        "dog_",
        "dog-dog",
        "édog",
        "dogé",
        "dog\u0301",
        "2dog",
        "dog's",
        "Straße Straßen",
        "die Straße.",
        "東京",
        "東京都",
        "が東京",
        "東京 東京",
        "<s>dog<s>",
        "a<s>b",
        "a <s> b",
        "1st  of",
        "21st",
        "1st\n\nx",
        "dog\u200bdog",
        "dog\ufeffdog",
    ]
    yield "added-token-single-word", "strips-and-scripts", one, texts
    two = {
        "model": words("cat", "sat", "a", "the", "cats", "concat"),
        "pre_tokenizer": {"type": "Whitespace"},
        "normalizer": {"type": "Lowercase"},
        "added_tokens": added(
            7,
            {"content": "Cat", "single_word": True, "normalized": True},
            {"content": "SAT", "single_word": True},
            {"content": "the cat", "single_word": True, "normalized": True},
        ),
    }
    yield "added-token-single-word", "normalized", two, [
        "Cat",
        "cat",
        "CAT sat",
        "SAT",
        "sat",
        "concat",
        "the cat",
        "THE CAT sat",
        "the cats",
        "athe cat",
        "a cat.",
        "cat,cat",
        "_SAT SAT_ SAT",
        "SATcat SAT-cat",
    ]

    # Kind: sequences of pre-tokenizers before bytes.
    one = byte_level()
    one["pre_tokenizer"] = sequence(
        sequence({"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Digits", "individual_digits": False}),
        split({"Regex": r"\s+"}, "MergedWithNext"),
        BYTES,
    )
    texts = [
        "the number 1234, and 5 dogs",
        "It's  a test\n\n12.5...",
        " naïve 2²  ",
        "((x))!?! -- y",
        "1,234.50 ¿qué? 東京2024",
        "",
        " ",
        "«a»—b…c",
    ]
    yield "pre-tokenizer-sequence", "nested", one, texts
    two = byte_level()
    two["pre_tokenizer"] = sequence(
        split({"String": "at"}, "MergedWithPrevious"),
        split({"Regex": r"[A-Z]?[a-z]+|\d{1,3}(?=(?:\d{3})*\b)"}, "Removed", True),
        {"type": "UnicodeScripts"},
        {**BYTES, "use_regex": True, "add_prefix_space": True},
    )
    yield "pre-tokenizer-sequence", "removed-and-scripts", two, [
        "catCats at 1234567 matAt",
        "The Number 1234",
        "it's 東京cat",
        "a",
        "Hello WORLD 12",
        "кот cat",
        "attat  at",
    ]
    three = byte_level()
    three["pre_tokenizer"] = sequence(
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True},
        split({"Regex": LLAMA3}),
        BYTES,
    )
    yield "pre-tokenizer-sequence", "spaces-first", three, [
        "the cat sat",
        "  it's 12345  ",
        "a_b c",
        "x\ny\tz",
        "DON'T don't",
        "",
    ]

    # Kind: what white space is.
    spaces = [
        "a\ufeffb",
        "\ufeffa",
        "a \ufeff b",
        "a\u0085b",
        "a\u200bb",
        "a\u2028b",
        "a\u3000b",
        "a\u180eb",
        "a\u00a0b",
        "a\u001cb",
        "a\u001fb",
        "a\u000bb",
        "a\u2060b",
        "a \u00a0\ufeff b",
        "a\u0085\ufeff's",
        "\ufeff12",
        "  \ufeff",
        "a\r\n\ufeff\nb",
        "a\u202fb\u205fb",
        "\u1680a\u2003b",
    ]
    for name, pattern in (("gpt2", GPT2), ("llama3", LLAMA3)):
        one = byte_level()
        one["pre_tokenizer"] = sequence(split({"Regex": pattern}), BYTES)
        one["added_tokens"] += added(290, {"content": "<l>", "lstrip": True}, {"content": "<r>", "rstrip": True})
        yield "whitespace-byte-order-mark", f"pattern-of-{name}", one, spaces + [
            "a\ufeff<l>",
            "a\u00a0<l>b",
            "a\u0085 <l>",
            "a\u200b<l>",
            "<r>\ufeffa",
            "<r>\u3000 a",
            "<r>\u001ca",
            "<r>\u0085\u2028a",
        ]
    for name, part in (
        ("whitespace", {"type": "Whitespace"}),
        ("whitespace-split", {"type": "WhitespaceSplit"}),
        ("bert", {"type": "BertPreTokenizer"}),
    ):
        tokenizer = {
            "model": words(
                "a",
                "b",
                "\ufeff",
                "\ufeffa",
                "a\ufeffb",
                "12",
                "\ufeff12",
                "'",
                "s",
                "a\u200bb",
                "a\u180eb",
                "a\u2060b",
                "a\u001cb",
                "a\u001fb",
                "a\u0085b",
            ),
            "pre_tokenizer": part,
        }
        yield "whitespace-byte-order-mark", name, tokenizer, spaces
    for name, normalizer in (
        ("strip", {"type": "Strip", "strip_left": True, "strip_right": True}),
        (
            "bert-normalizer",
            {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
        ),
    ):
        tokenizer = {
            "model": {
                "type": "BPE",
                "vocab": {c: i for i, c in enumerate(sorted(set("".join(spaces)) | {"?"}))},
                "merges": [],
                "unk_token": "?",
            },
            "normalizer": normalizer,
        }
        yield "whitespace-byte-order-mark", name, tokenizer, spaces + [
            "\ufeff",
            "\u0085a\u0085",
            "\u001ca\u001c",
            "\u200ba\u200b",
            "\u3000a\u2028",
        ]
    # Kind: added tokens within words, which only a model that knows them would find.
    pieces = {c: i for i, c in enumerate(["?", "a", "b", "c", "##a", "##b", "##c", "b##"])}
    inside = added(8, {"content": "##bc", "single_word": True}, {"content": "abc", "single_word": True, "normalized": True})
    yield "added-token-within-word", "word-piece", {
        "model": {
            "type": "WordPiece",
            "vocab": pieces,
            "unk_token": "?",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "added_tokens": inside,
    }, ["abc", "aabc", "abcabc", "abc abc", "abca"]
    yield "added-token-within-word", "whole-piece", {
        "model": {
            "type": "BPE",
            "vocab": {c: i for i, c in enumerate("?abc_")},
            "merges": [],
            "unk_token": "?",
            "ignore_merges": True,
        },
        "normalizer": {"type": "Prepend", "prepend": "_"},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "added_tokens": added(5, {"content": "abc", "normalized": True}),
    }, ["abc", "a abc", "abc abc", "b abcabc"]
    # Kind: added tokens of white space, which one before or behind takes along.
    for name, marks in (
        ("both-sides", [{"content": "\n", "lstrip": True, "rstrip": True}]),
        ("right", [{"content": "\n", "rstrip": True}, {"content": "\t"}, {"content": "<l>", "lstrip": True}]),
    ):
        yield "added-token-white-space", name, {
            "model": words("a", "b"),
            "pre_tokenizer": {"type": "Whitespace"},
            "added_tokens": added(3, *marks),
        }, ["\n", "\n\n", "a\n \nb", "a \n\n\n b", "<r>\n\n\na", "<r> \n a", "a\n\n<l>", "\n\t\n\t\t b", "\t <l>\n"]
    # Kind: what Oniguruma's classes and anchors are.
    strange = "aB1_ ²³¼½٣Ⅷ$+€«!ſKéⁿ\n"
    for name, regex in (
        ("word", r"\w"),
        ("no-word", r"\W"),
        ("words-or-others", r"\w+|[^\w\s]+"),
        ("word-boundary", r"\b"),
        ("no-word-boundary", r"\B\w"),
        ("word-in-class", r"[\w]"),
        ("word-property", r"\p{Word}"),
        ("punctuation", r"[[:punct:]]"),
        ("punctuation-property", r"\p{Punct}"),
        ("folded-range", r"(?i:[a-z])"),
        ("line-begins", r"^"),
        ("line-ends", r"$"),
        ("text-ends", r"\Z"),
    ):
        yield "pattern-class", name, {
            "model": {
                "type": "BPE",
                "vocab": {c: i for i, c in enumerate(sorted(set(strange + "𥇖#?")))},
                "merges": [],
                "unk_token": "?",
            },
            "normalizer": {"type": "Replace", "pattern": {"Regex": regex}, "content": "#"},
        }, [strange, "a\nb\n", "²a ¼", "1𥇖\n𥇖a", "\n"]
    # Kind: letters that differ in their case alone, of which there may be more than two.
    greek = "ΣσςΑαΩωΩµμKKkǄǅǆẞß-"
    for name, regex in (
        ("letter", "(?i)σ"),
        ("range", "(?i)[α-ω]"),
        ("title", "(?i:ǆ)|ß"),
        ("class", "(?i:[kẞ])"),
        ("no-class", "(?i:[^ςµ])"),
    ):
        yield "pattern-folded", name, {
            "model": {
                "type": "BPE",
                "vocab": {c: i for i, c in enumerate(sorted(set(greek + "#?")))},
                "merges": [],
                "unk_token": "?",
            },
            "normalizer": {"type": "Replace", "pattern": {"Regex": regex}, "content": "#"},
        }, [greek]
    # Kind: special tokens that normalizing changes; they are never left out.
    for name, normalizer, content in (
        ("lower", {"type": "Lowercase"}, "[SEP]"),
        ("nfd", {"type": "NFD"}, "\u00e9"),
        ("unchanged", {"type": "NFC"}, "[SEP]"),
    ):
        yield "special-token-normalized", name, {
            "model": words("a", "b"),
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "decoder": {"type": "Fuse"},
            "added_tokens": added(3, {"content": content, "normalized": True, "special": True}),
        }, [f"a{content}b", f"{content} {content.lower()}", f"b {content}"]


    # Kind: the empty text as a pattern, which is before and behind each character.
    letters = {"type": "BPE", "vocab": {c: i for i, c in enumerate("?ab😀#")}, "merges": [], "unk_token": "?"}
    empty = {"String": ""}
    for name, part in (
        ("replaced", {"normalizer": {"type": "Replace", "pattern": empty, "content": "#"}}),
        ("removed", {"pre_tokenizer": split(empty, "Removed")}),
        ("isolated", {"pre_tokenizer": split(empty, "Isolated", True)}),
        ("decoded", {"decoder": {"type": "Replace", "pattern": empty, "content": "#"}}),
        ("suffix", {"decoder": {"type": "BPEDecoder", "suffix": ""}}),
        ("delimiter", {"decoder": {"type": "CTC", "pad_token": "?", "word_delimiter_token": "", "cleanup": True}}),
    ):
        yield "pattern-empty", name, {"model": {**letters, "end_of_word_suffix": "b"}, **part}, ["ab", "a", "😀😀a", ""]
    yield "pattern-empty", "nothing-to-decode", {
        "model": words("a"),
        "decoder": {
            "type": "Sequence",
            "decoders": [BYTES, {"type": "Replace", "pattern": {"Regex": ""}, "content": "#"}],
        },
    }, ["", "a"]
    # Kind: the unknown token's own text beside what is unknown.
    for fallback in (False, True):
        yield "unknown-beside-unknown", "bytes" if fallback else "plain", {
            "model": {
                "type": "Unigram",
                "unk_id": 0,
                "vocab": [["?", -1.0], ["a", -1.0], ["<0xC3>", -1.0], ["<0xA9>", -1.0], ["<0x3F>", -1.0]],
                "byte_fallback": fallback,
            },
        }, ["?", "??", "é?", "?éa", "aé", "?a?é?", "éa?x"]


def main():
    cases = []
    for kind, name, file, texts in tokenizers():
        file = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": None,
            **file,
        }
        if file["model"]["type"] == "BPE":
            file["model"] = {
                "dropout": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                **file["model"],
            }
        tokenizer = Tokenizer.from_str(json.dumps(file))
        items = []
        for text in texts:
            ids = tokenizer.encode(text).ids
            items.append({"text": text, "ids": ids, "plain": tokenizer.decode(ids)})
        cases.append({"kind": kind, "name": name, "tokenizer": file, "items": items})
    with open(os.path.join(HERE, "cases.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")


main()

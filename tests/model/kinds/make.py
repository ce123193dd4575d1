# Makes the checkpoints of ../kinds.test.js and what Hugging Face transformers 5.24.0 makes of them in float64: kinds of
# folder on which loaders have been wrong, two of each. The folders hold what save_pretrained would, and expected values
# come from transformers reading that very folder.
#
#   pip install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 safetensors==0.8.0 && python make.py

import json
import os
import shutil
import struct

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.generation import StopStringCriteria

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPT = "the dog"
SCORED = "the quick brown fox"
SURE = 0.02  # least distance between the best and the second logit, far above what float32 moves
torch.set_num_threads(1)


# Tokenizers -----------------------------------------------------------------------------------------------------------


def special(first, *texts):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": first + i, "content": text, **flags} for i, text in enumerate(texts)]


def tokenizer_file(model, added, **parts):
    empty = {"truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": None, "post_processor": None}
    return {
        "version": "1.0",
        **empty,
        "decoder": None,
        "added_tokens": added,
        **parts,
        "model": {"type": "BPE", **model},
    }


def letters():
    """GPT-2's letters for bytes, by byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def byte_level(ends=("<|end|>",), merges=(), gap=0):
    """Id 0 is <|start|>, byte b has id 1 + b; then merges; then special tokens, `gap` ids further on."""
    alphabet = letters()
    merges = ["t h", "th e", "o g", *merges]
    vocab = {"<|start|>": 0, **{letter: 1 + b for b, letter in enumerate(alphabet)}}
    for merge in merges:
        vocab.setdefault(merge.replace(" ", ""), len(vocab))
    parts = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = special(0, "<|start|>") + special(len(vocab) + gap, *ends)
    return tokenizer_file({"vocab": vocab, "merges": merges}, added, pre_tokenizer=parts, decoder=parts)


def byte_fallback(ends=("</s>",), added=()):
    """As Llama 2's: <unk>, <s>, the ends, bytes from 3 + len(ends) - 1 on, pieces."""
    start = ["<unk>", "<s>", *ends]
    tokens = [*start, *(f"<0x{b:02X}>" for b in range(256)), "▁", *"thedogquickbrwnfx", "▁t", "he", "▁the", "▁d", "og"]
    vocab = {}
    for token in tokens:
        vocab.setdefault(token, len(vocab))
    first = next(i for i, _ in enumerate(start) if start[i] == ends[0])
    model = {
        "vocab": vocab,
        "merges": ["▁ t", "h e", "▁t he", "▁ d", "o g"],
        "unk_token": "<unk>",
        "byte_fallback": True,
    }
    normalizer = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    decoder = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }
    begin = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    marks = special(0, "<unk>", "<s>") + special(first, *ends) + special(len(vocab), *added)
    return tokenizer_file(model, marks, normalizer=normalizer, decoder=decoder, post_processor=begin)


def size_of(file):
    return 1 + max([*file["model"]["vocab"].values(), *(token["id"] for token in file["added_tokens"])])


# Models ---------------------------------------------------------------------------------------------------------------


def gpt2(vocab, **changes):
    return {
        "model_type": "gpt2",
        "vocab_size": vocab,
        "n_embd": 12,
        "n_head": 2,
        "n_layer": 2,
        "n_positions": 32,
        "bos_token_id": 0,
        "eos_token_id": None,
        "tie_word_embeddings": True,
        **changes,
    }


def llama(vocab, kind="llama", **changes):
    return {
        "model_type": kind,
        "vocab_size": vocab,
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "num_hidden_layers": 2,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": None,
        "pad_token_id": None,
        "tie_word_embeddings": False,
        **changes,
    }


def draw(config, seed, writes=None):
    """A model of random weights; `writes` are the tokens that it writes after its start token."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            deep = weight.dim() > 1
            weight.copy_(
                torch.randn(weight.shape) * (0.3 if deep else 0.2) + (0 if deep or name.endswith("bias") else 1)
            )
        if writes:
            direct(model, writes)
    return model


def direct(model, writes):
    table = model.get_input_embeddings().weight
    table.copy_(torch.nn.functional.normalize(torch.randn(table.shape), dim=1))
    for name, weight in model.named_parameters():
        if ".h." in name or ".layers." in name:
            weight.mul_(0.2 if weight.dim() > 1 else 1)
    if model.config.model_type == "gpt2":  # the place says what comes
        for place, token in enumerate(writes):
            model.transformer.wpe.weight[place] = 4 * table[token]
    else:  # the token says what comes after it
        head = model.get_output_embeddings().weight
        head.mul_(0.1)
        for before, token in zip([model.config.bos_token_id, *writes], writes):
            head[token] = 3 * table[before]


def state(model, dtype=torch.float16):
    tensors = {name: value.detach().to(dtype).contiguous() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight")
    return tensors


# Folders --------------------------------------------------------------------------------------------------------------


def folder_of(name):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file, separators=(",", ":"))


def write_folder(name, model, tokenizer, tensors=None, config=None, generation=None, shards=None):
    folder = folder_of(name)
    saved = {key: value for key, value in (config or model.config.to_diff_dict()).items() if key != "dtype"}
    write_json(folder, "config.json", {**saved, "architectures": [type(model).__name__]})
    write_json(folder, "tokenizer.json", tokenizer)
    if generation is not None:
        write_json(folder, "generation_config.json", generation)
    tensors = tensors if tensors is not None else state(model)
    if shards is None:
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    else:
        names = list(tensors)
        total, places = 0, {}
        for i, file in enumerate(shards):
            part = {n: tensors[n] for n in names[i :: len(shards)]}  # neighbours lie in different files
            save_file(part, os.path.join(folder, file), metadata={"format": "pt"})
            places.update(dict.fromkeys(part, file))
            total += sum(t.nbytes for t in part.values())
        write_json(folder, "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return folder


def rewrite_header(folder, change):
    """The header of model.safetensors as text, changed; the reference reader must still take the file."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = change(json.loads(data[8 : 8 + length])).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + data[8 + length :])
    load_file(path)


# What transformers makes of a folder ----------------------------------------------------------------------------------


def read(folder, dtype=torch.float64):
    # Half-precision files are widened, as they are here; the rotary tables are float32 in transformers too.
    config = AutoConfig.from_pretrained(folder)
    config.reorder_and_upcast_attn = False  # for half precision, and refuses any other than float32
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, attn_implementation="eager").eval()


class Reference:
    def __init__(self, folder):
        self.folder = folder
        self.model = read(folder)
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        config = self.model.config
        self.start = config.bos_token_id

    def ids(self, text):
        ids = self.tokenizer.encode(text).ids
        # GPT-2's tokenizer adds no start token; a prompt gets one here, as in Keras Hub.
        return ids if ids[:1] == [self.start] else [self.start, *ids]

    def logits(self, ids):
        with torch.no_grad():
            return self.model(torch.tensor([ids]), use_cache=False).logits[0]

    def greedy(self, text, count):
        ids = self.ids(text)
        whole = {"attention_mask": torch.ones(1, len(ids)), "pad_token_id": 0}
        with torch.no_grad():
            out = self.model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False, **whole)
        tokens = out[0, len(ids) :].tolist()
        for i in range(len(tokens)):
            best = torch.topk(self.logits([*ids, *tokens[:i]])[-1], 2).values
            if best[0] - best[1] < SURE:
                raise ValueError(f"{self.folder}: token {i} is not sure")
        return tokens

    def score(self, text):
        ids = self.ids(text)
        rows = torch.log_softmax(self.logits(ids), -1)
        nats = -sum(float(rows[i, token]) for i, token in enumerate(ids[1:]))
        return {"text": text, "nats": nats, "tokens": len(ids) - 1, "bytes": len(text.encode())}

    def read_and_write(self, count=8):
        return {"prompt": PROMPT, "greedy": self.greedy(PROMPT, count), "score": self.score(SCORED)}


def seeded(make):
    """The first seed with which every choice is sure."""
    for seed in range(1, 200):
        try:
            return make(seed)
        except ValueError as error:
            if "is not sure" not in str(error):
                raise
    raise ValueError("no seed is sure")


# Kinds ----------------------------------------------------------------------------------------------------------------


def plain(
    name, config, tokenizer, change=lambda model: None, after=lambda folder: None, dtype=torch.float16, **options
):
    """Any model, and what it writes."""

    def make(seed):
        model = draw(config, seed)
        change(model)
        tensors = state(model, dtype)
        extra = options.get("extra", lambda model: {})(model)
        rest = {key: value for key, value in options.items() if key != "extra"}
        folder = write_folder(name, model, tokenizer, {**tensors, **extra}, **rest)
        after(folder)
        return Reference(folder).read_and_write()

    return seeded(make)


def attention_scales():
    tokenizer = byte_level()
    size = size_of(tokenizer)
    both = {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}
    yield "scale-by-inverse-layer-idx", "five-layers-unscaled", lambda name: plain(
        name, gpt2(size, n_layer=5, n_embd=8, scale_attn_weights=False, **both), tokenizer
    )
    yield "scale-by-inverse-layer-idx", "float32", lambda name: plain(
        name, gpt2(size, n_layer=3, scale_attn_by_inverse_layer_idx=True), tokenizer, dtype=torch.float32
    )
    yield "unscaled-attention", "one-head", lambda name: plain(
        name, gpt2(size, n_head=1, scale_attn_weights=False), tokenizer
    )
    yield "unscaled-attention", "relu-inner", lambda name: plain(
        name,
        gpt2(size, n_layer=3, n_inner=20, activation_function="relu", scale_attn_weights=False),
        tokenizer,
    )


def heads():
    def head(model):
        torch.manual_seed(5)
        return {"lm_head.weight": torch.randn(model.config.vocab_size, model.config.hidden_size) * 0.3}

    tokenizer = byte_fallback()
    size = size_of(tokenizer)
    yield "untied-head-in-file", "llama", lambda name: plain(
        name, llama(size, tie_word_embeddings=True), tokenizer, extra=head
    )
    yield "untied-head-in-file", "qwen2", lambda name: plain(
        name, llama(size, "qwen2", tie_word_embeddings=True), tokenizer, extra=head
    )


def headers():
    tokenizer = byte_fallback()
    size = size_of(tokenizer)

    def more_fields(header):
        header.pop("__metadata__")
        tensors = {name: {"note": [1, {"a": None}], **entry, "crc": 7} for name, entry in header.items()}
        return json.dumps(tensors, indent=1)

    def metadata_last(header):
        header.pop("__metadata__")
        return json.dumps({**dict(reversed(header.items())), "__metadata__": None}) + " " * 37

    yield "safetensors-metadata-null", "more-fields", lambda name: plain(
        name, llama(size), tokenizer, after=lambda folder: rewrite_header(folder, more_fields)
    )
    yield "safetensors-metadata-null", "null-at-the-end", lambda name: plain(
        name,
        llama(size, "mistral", sliding_window=None),
        tokenizer,
        after=lambda folder: rewrite_header(folder, metadata_last),
    )


def shards():
    tokenizer = byte_fallback()
    size = size_of(tokenizer)
    yield "sharded-index", "llama-three", lambda name: plain(
        name,
        llama(size),
        tokenizer,
        dtype=torch.float32,
        shards=[f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)],
    )
    yield "sharded-index", "qwen2-bf16-other-names", lambda name: plain(
        name,
        llama(size, "qwen2", tie_word_embeddings=True),
        tokenizer,
        dtype=torch.bfloat16,
        shards=["b.safetensors", "a.safetensors"],
    )


def larger_tokenizers():
    tokenizer = byte_fallback(added=["<|pad|>", "<|tool|>", "<|image|>"])
    size = size_of(tokenizer)

    def with_refusal(item, text, id):
        return {**item, "refused": {"text": text, "id": id}}

    yield "tokenizer-larger-than-embedding", "llama-added-tokens", lambda name: with_refusal(
        plain(name, llama(size - 3), tokenizer), "the <|tool|>", size - 2
    )
    longer = byte_level(ends=(), merges=["e r", "l l", "h e"])
    yield "tokenizer-larger-than-embedding", "gpt2-merges", lambda name: with_refusal(
        plain(name, gpt2(size_of(longer) - 3), longer), "hello", size_of(longer) - 1
    )


def written(
    name, config, tokenizer, writes, more=lambda reference: {}, generation=None, count=None, saved=None, extra=0
):
    def make(seed):
        model = draw({**config, "vocab_size": config["vocab_size"] + extra}, seed, writes)
        folder = write_folder(
            name, model, tokenizer, generation=generation, config=saved and {**model.config.to_diff_dict(), **saved}
        )
        reference = Reference(folder)
        got = reference.greedy("", count or len(writes))
        expected = writes[: count or len(writes)]
        if got != expected[: len(got)]:
            raise ValueError(f"{name}: is not sure to write {expected}: {got}")
        return {"prompt": "", "greedy": got, **more(reference)}

    return seeded(make)


def decoded(reference, tokens):
    text = reference.tokenizer.decode(tokens, skip_special_tokens=True)
    return {"text": text, "decode": reference.tokenizer.decode(tokens, skip_special_tokens=False)}


def ids_beyond():
    fallback = byte_fallback()
    byte = lambda b: fallback["model"]["vocab"][f"<0x{b:02X}>"]
    size = size_of(fallback)
    piece = fallback["model"]["vocab"]
    a = [piece["▁the"], size + 3, byte(0xC3), size + 9, byte(0xA9), piece["▁d"], size, piece["og"]]
    yield "decode-padded-id", "within-a-character", lambda name: written(
        name, llama(size), fallback, a, lambda r: decoded(r, a), extra=12
    )
    gap = byte_level(gap=10)
    vocab = gap["model"]["vocab"]
    first = size_of(gap) - 1
    b = [vocab["the"], first - 4, vocab["Ġ"], first + 5, vocab["d"], first - 9, vocab["og"], first - 1]
    yield "decode-padded-id", "a-gap-before-the-special", lambda name: written(
        name, gpt2(first + 1), gap, b, lambda r: decoded(r, b), extra=8
    )


def cut_characters():
    tokenizer = byte_level()
    size = size_of(tokenizer)
    bytes_ = lambda *values: [1 + value for value in values]
    a = bytes_(0x61, 0xF0, 0x9F, 0x98)
    yield "truncated-character", "three-of-four", lambda name: written(
        name, gpt2(size), tokenizer, a, lambda r: decoded(r, a)
    )
    b = bytes_(0xE4, 0xB8, 0x62, 0xC3, 0xC3, 0xA9, 0xFF, 0xE4)
    yield "truncated-character", "within-and-at-the-end", lambda name: written(
        name, gpt2(size), tokenizer, b, lambda r: decoded(r, b)
    )
    fallback = byte_fallback()
    byte = lambda value: fallback["model"]["vocab"][f"<0x{value:02X}>"]
    c = [fallback["model"]["vocab"]["▁the"], byte(0xE4), byte(0xB8)]
    yield "truncated-character", "byte-fallback", lambda name: written(
        name, llama(size_of(fallback)), fallback, c, lambda r: decoded(r, c)
    )


def end_tokens():
    ends = ("</s>", "<|turn|>", "<|done|>")
    fallback = byte_fallback(ends)
    vocab = fallback["model"]["vocab"]
    size = size_of(fallback)
    a = [vocab["▁the"], vocab["▁d"], vocab["og"], vocab["<|turn|>"], vocab["he"], vocab["q"]]
    yield "generation-config-eos-list", "list-in-config-alone", lambda name: written(
        name, llama(size), fallback, a, lambda r: {"finish": "end"}, saved={"eos_token_id": [2, vocab["<|turn|>"]]}
    )
    b = [vocab["q"], vocab["u"], vocab["<|done|>"], vocab["i"], vocab["c"], vocab["k"]]
    yield "generation-config-eos-list", "another-than-the-config", lambda name: written(
        name,
        llama(size),
        fallback,
        b,
        lambda r: {"finish": "end"},
        saved={"eos_token_id": 2},
        generation={"bos_token_id": 1, "eos_token_id": vocab["<|done|>"], "transformers_version": "5.24.0"},
    )


def stops():
    def until(stop, tokens):
        def more(reference):
            fast = PreTrainedTokenizerFast(tokenizer_object=reference.tokenizer)
            # Where transformers stops, by its own criterion.
            criterion = StopStringCriteria(fast, stop)
            start = reference.ids("")
            count = next(
                i for i in range(1, len(tokens) + 1) if criterion(torch.tensor([[*start, *tokens[:i]]]), None)[0]
            )
            whole = reference.tokenizer.decode(tokens[:count], skip_special_tokens=False)
            at = min(whole.index(text) for text in stop if text in whole)
            return {"greedy": tokens[:count], "stop": stop, "finish": "stop", "text": whole[:at]}

        return more

    chat = byte_fallback(("</s>", "<|turn|>"))
    vocab = chat["model"]["vocab"]
    a = [vocab["▁the"], vocab["▁d"], vocab["og"], vocab["<|turn|>"], vocab["he"], vocab["q"]]
    yield "stop-on-special-token", "text-and-special", lambda name: written(
        name, llama(size_of(chat)), chat, a, until(["no such", "og<|turn|>he"], a)
    )
    level = byte_level(("<|end|>", "<|call|>"))
    vocab = level["model"]["vocab"]
    call = size_of(level) - 1
    b = [vocab["the"], vocab["Ġ"], vocab["d"], vocab["og"], call, vocab["x"], vocab["y"]]
    yield "stop-on-special-token", "second-of-two", lambda name: written(
        name, gpt2(size_of(level)), level, b, until(["<|end|>", "<|call|>"], b)
    )


def temperatures():
    cold, hot = [1e-20, 1e-38, 1e-39, 1e-45, 1e-300], [1e10, 1e38, 1e39, 1e300]

    def limits(name, config, tokenizer):
        def make(seed):
            folder = write_folder(name, model := draw(config, seed), tokenizer, state(model))
            reference = Reference(folder)
            ids = reference.ids(PROMPT)
            row = reference.logits(ids)[-1].numpy().astype(np.longdouble)
            first = reference.greedy(PROMPT, 1)[0]
            share = (
                lambda t: np.exp((row - row.max()) / np.longdouble(t))
                / np.exp((row - row.max()) / np.longdouble(t)).sum()
            )
            assert all(share(t)[first] == 1 for t in cold)
            assert all(np.allclose(share(t), 1 / len(row), rtol=1e-6) for t in hot)
            return {"prompt": PROMPT, "cold": cold, "argmax": first, "hot": hot, "uniform": 1 / len(row)}

        return seeded(make)

    fallback, level = byte_fallback(), byte_level()
    yield "extreme-temperature", "llama", lambda name: limits(name, llama(size_of(fallback)), fallback)
    yield "extreme-temperature", "gemma2-soft-cap", lambda name: limits(
        name,
        llama(
            size_of(fallback),
            "gemma2",
            final_logit_softcapping=30.0,
            attn_logit_softcapping=50.0,
            query_pre_attn_scalar=8,
            sliding_window=16,
            tie_word_embeddings=True,
        ),
        fallback,
    )


def not_finite():
    def broken(name, config, tokenizer, change, where, dtype):
        model = draw(config, 1)
        with torch.no_grad():
            change(model)
        folder = write_folder(name, model, tokenizer, state(model, dtype))
        reference, ids = read(folder, torch.float32), [config["bos_token_id"]]
        try:
            with torch.no_grad():
                reference.generate(torch.tensor([ids]), max_new_tokens=1, do_sample=True, pad_token_id=0)
        except RuntimeError as error:
            assert "inf" in str(error) or "nan" in str(error), error
            return {"prompt": "", "rejects": where}
        raise ValueError(f"{name}: transformers took it")

    fallback, level = byte_fallback(), byte_level()

    def overflow(model):  # a value that float16 does not hold becomes infinite when it is converted
        model.model.layers[1].mlp.down_proj.weight[3, 5] = 1e5

    def too_large(model):  # every weight is finite; what they give is not
        model.transformer.h[1].mlp.c_proj.weight.fill_(3e38)

    def in_a_norm(model):
        model.model.layers[0].input_layernorm.weight[2] = float("nan")

    yield "nonfinite-logits", "f16-overflow", lambda name: broken(
        name, llama(size_of(fallback)), fallback, overflow, "blk.1.ffn_down", torch.float16
    )
    yield "nonfinite-logits", "norm", lambda name: broken(
        name, llama(size_of(fallback), "mistral"), fallback, in_a_norm, "blk.0.attn_norm", torch.bfloat16
    )
    yield "nonfinite-logits", "finite-weights", lambda name: broken(
        name, gpt2(size_of(level)), level, too_large, "too large", torch.float32
    )


def main():
    cases = []
    for makers in (
        attention_scales,
        heads,
        headers,
        shards,
        larger_tokenizers,
        ids_beyond,
        cut_characters,
        end_tokens,
        stops,
        temperatures,
        not_finite,
    ):
        for kind, name, make in makers():
            folder = f"{kind}-{name}"
            print(folder)
            cases.append({"kind": kind, "name": name, "folder": folder, **make(folder)})
    with open(os.path.join(HERE, "cases.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()

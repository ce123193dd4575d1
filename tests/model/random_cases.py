# Makes random models of every family and what Hugging Face transformers computes from them in float64, to be compared by hand:
# odd sizes of heads, vocabularies and networks, every kind of rotary scaling, windows shorter than the prompt, all types of floats, shards,
# and the older spelling of config.json where transformers itself reads the same from it.
#
#   pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
#   python tests/model/random_cases.py SEED COUNT FOLDER [FAMILY,...] [small]
#   node ../shared/models/run.mjs --dir FOLDER hf
#
# Gemma 3, LFM3 and ModernBERT with longrope fail in `cached` there: that check asks for scalings that depend on the length in their flat spelling alone.
# A window of 1 with such a scaling may fail in `greedy`: transformers' cache then keeps every key and gives another text than its cold run.

import contextlib
import copy
import json
import math
import os
import random
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

seed, count, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
FAMILIES = ("llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi phi3 gpt_neox gpt2 olmo2 smollm3 granite stablelm starcoder2 "
            "gpt_neo opt gpt_bigcode olmo ernie4_5 helium glm arcee exaone4 vaultgemma granitemoehybrid hunyuan_v1_dense "
            "lfm2 lfm3 bloom falcon mpt nanochat codegen gptj modernbert-decoder xglm biogpt openai-gpt exaone nemotron cohere2").split()
FAMILIES = sys.argv[4].split(",") if len(sys.argv) > 4 else FAMILIES
SMALL = "small" in sys.argv[5:]
OWN_HEADS = {"llama", "mistral", "qwen3", "gemma", "gemma2", "gemma3_text", "ernie4_5", "glm", "vaultgemma", "nemotron"}  # their head_dim need not divide the width
EPSILON = {"phi": "layer_norm_eps", "gpt_neox": "layer_norm_eps", "stablelm": "layer_norm_eps", "starcoder2": "norm_epsilon",
           "modernbert-decoder": "norm_eps", "nemotron": "norm_eps", "cohere2": "layer_norm_eps", "biogpt": "layer_norm_eps",
           "lfm2": "norm_eps", "lfm3": "norm_eps"}
PARTLY = {"phi", "gpt_neox", "stablelm", "phi3", "glm", "nemotron"}
STEPS = 16

R = random.Random(seed)
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
FLOAT32 = torch.float32


@contextlib.contextmanager
def in_float64():
    """What asks for float32 within, norms and angles, gets float64."""
    plain = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32 = torch.float = FLOAT32
        torch.Tensor.float = plain
        torch.set_default_dtype(FLOAT32)


def rope(family, dims):
    kinds = ["longrope"] if family == "phi3" else ["linear", "dynamic", "llama3", "yarn", "longrope"]
    kind = R.choice(["default"] * 3 + kinds)
    kind = "default" if kind == "dynamic" and dims <= 2 else kind
    found = {"rope_type": kind, "rope_theta": R.choice([10000.0, 500000.0, 1000.0, 123456.7, 25.0])}
    trained = {"original_max_position_embeddings": R.choice([8, 16, 24, 32])}
    if kind in ("linear", "dynamic"):
        found.update(factor=R.choice([2.0, 4.0, 1.7]))
    if kind == "llama3":
        found.update(trained, factor=R.choice([8.0, 4.0]), low_freq_factor=R.choice([1.0, 0.5]), high_freq_factor=R.choice([4.0, 3.0]))
    if kind == "yarn":
        found.update(trained, factor=R.choice([2.0, 4.0, 3.5]))
        more = [{"beta_fast": 16.0, "beta_slow": 2.0}, {"mscale": 0.707, "mscale_all_dim": 0.5}, {"attention_factor": 1.2}, {"truncate": False}]
        for part in more:
            found.update(part if R.random() < 0.3 else {})
    if kind == "longrope":
        found.update(trained, short_factor=[round(R.uniform(0.8, 2.5), 3) for _ in range(dims // 2)])
        found.update(long_factor=[round(R.uniform(1, 20), 3) for _ in range(dims // 2)])
        found.update({"factor": 2.0} if R.random() < 0.4 else {})
    return found


def config_of(family):
    heads = R.choice([1, 2, 3, 4, 5, 6, 8])
    size = R.choice([2, 4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 34, 40])
    heads, size = (2, 16) if heads * size > 200 else (heads, size)
    layers, inner, maybe = R.choice([1, 2, 3, 4]), R.choice([8, 17, 24, 40, 64, 90, 129]), lambda p: R.random() < p
    if SMALL:  # enough to be committed
        heads, size, layers, inner = R.choice([2, 4]), R.choice([4, 6, 8]), 2, R.choice([8, 13])
    activation = R.choice(["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
    c = {"vocab_size": R.choice([41, 64, 97, 130, 257, 331]), "pad_token_id": None, "bos_token_id": 1, "eos_token_id": R.choice([2, [2, 3]])}
    context = R.choice([64, 96, 128])
    if family == "bloom":
        return {**c, "hidden_size": heads * size, "n_head": heads, "n_layer": layers, "tie_word_embeddings": maybe(0.7)}
    if family == "mpt":
        return {**c, "d_model": heads * size, "n_heads": heads, "n_layers": layers, "max_seq_len": context, "tie_word_embeddings": maybe(0.7),
                "attn_config": {"softmax_scale": R.choice([None, None, 0.3])}}  # transformers has 8 for any alibi_bias_max
    if family == "falcon":
        later, alone = maybe(0.4), maybe(0.5)
        shared = R.choice([k for k in range(1, heads + 1) if heads % k == 0]) if later else None
        return {**c, "hidden_size": heads * size, "num_attention_heads": heads, "num_hidden_layers": layers, "ffn_hidden_size": R.choice([None, inner]),
                "max_position_embeddings": context, "alibi": maybe(0.5), "bias": maybe(0.5), "multi_query": alone, "num_kv_heads": shared,
                "new_decoder_architecture": later, "parallel_attn": later or maybe(0.5), "activation": activation,
                "num_ln_in_parallel_attn": R.choice([None, 1, 2]) if later else None, "tie_word_embeddings": maybe(0.7),
                "rope_parameters": rope("falcon", size)}
    if family == "gpt_bigcode":
        return {**c, "n_embd": heads * size, "n_head": heads, "n_layer": layers, "n_positions": context, "n_inner": R.choice([None, inner]),
                "activation_function": activation, "scale_attn_weights": maybe(0.7), "multi_query": maybe(0.6)}
    if family == "gpt_neo":
        kinds = [[["global"], layers]] if maybe(0.3) else [[[R.choice(["global", "local"])], 1] for _ in range(layers)]
        return {**c, "hidden_size": heads * size, "num_heads": heads, "num_layers": layers, "max_position_embeddings": context,
                "intermediate_size": R.choice([None, inner]), "activation_function": activation, "window_size": R.choice([1, 3, 8, 20]),
                "attention_types": [[["global", "local"], layers // 2]] if layers % 2 == 0 and maybe(0.5) else kinds}
    if family == "opt":
        return {**c, "hidden_size": heads * size, "num_attention_heads": heads, "num_hidden_layers": layers, "ffn_dim": inner,
                "max_position_embeddings": context, "activation_function": activation, "enable_bias": maybe(0.7),
                "word_embed_proj_dim": R.choice([8, 12, 20]) if SMALL else heads * size, "do_layer_norm_before": not SMALL or maybe(0.3),
                "layer_norm_elementwise_affine": maybe(0.7), "tie_word_embeddings": maybe(0.5)}
    if family in ("codegen", "gptj", "openai-gpt"):
        heads = R.choice([4, 8]) if family == "codegen" and heads * size % 4 else heads
        c.update(n_embd=heads * size, n_head=heads, n_layer=layers, n_positions=context, tie_word_embeddings=family == "openai-gpt" or maybe(0.3))
        return {**c, "afn": R.choice(["gelu", "relu", "silu"])} if family == "openai-gpt" else {
            **c, "n_inner": R.choice([None, inner]), "activation_function": activation, "rotary_dim": R.randrange(1, size // 2 + 1) * 2}
    if family == "xglm":
        size = max(size, 4)
        return {**c, "d_model": heads * size, "attention_heads": heads, "num_layers": layers, "ffn_dim": inner, "max_position_embeddings": context,
                "activation_function": activation, "scale_embedding": maybe(0.5), "tie_word_embeddings": maybe(0.7)}
    if family == "gpt2":
        return {**c, "n_embd": heads * size, "n_head": heads, "n_layer": layers, "n_positions": context, "n_inner": R.choice([None, inner]),
                "activation_function": activation, "scale_attn_weights": maybe(0.7), "scale_attn_by_inverse_layer_idx": maybe(0.4)}
    width = heads * R.choice([4, 9, 12, 25]) if family in OWN_HEADS and maybe(0.5) else heads * size
    c.update(hidden_size=width, num_attention_heads=heads, num_hidden_layers=layers, intermediate_size=inner, tie_word_embeddings=maybe(0.4))
    c.update({"max_position_embeddings": context, EPSILON.get(family, "rms_norm_eps"): R.choice([1e-6, 1e-5, 1e-3])})
    if family == "olmo":
        del c["rms_norm_eps"]
    if family == "biogpt":
        return {**c, "hidden_act": activation, "scale_embedding": maybe(0.5)}
    c.update({} if family in ("gpt_neox", "modernbert-decoder") else {"num_key_value_heads": R.choice([k for k in range(1, heads + 1) if heads % k == 0])})
    c.update({"head_dim": size} if family in OWN_HEADS | {"helium", "hunyuan_v1_dense", "lfm3"} else {})
    c["hidden_activation" if family in ("gemma2", "gemma3_text", "vaultgemma", "modernbert-decoder") else "hidden_act"] = "gelu_pytorch_tanh" if "gemma" in family else activation
    partial = 1.0
    if family in PARTLY:
        partial = R.choice([p for p in (0.25, 0.4, 0.5, 0.75, 1.0) if int(size * p) % 2 == 0 and int(size * p) > 0])
    turn = {**rope(family, int(size * partial)), **({"partial_rotary_factor": partial} if partial != 1.0 or family != "llama" else {})}
    turn = {k: v for k, v in turn.items() if k != "partial_rotary_factor" or family in PARTLY}
    c["rope_parameters"] = turn
    window, slides = R.choice([1, 2, 3, 5, 8, 20]), maybe(0.6)
    if family == "gemma3_text":
        c["rope_parameters"] = {"full_attention": turn, "sliding_attention": {"rope_type": "default", "rope_theta": R.choice([10000.0, 100.0])}}
        c.update(sliding_window=window, query_pre_attn_scalar=R.choice([size, 17, 256]), final_logit_softcapping=R.choice([None, 5.0]))
        c.update(layer_types=["full_attention" if (i + 1) % 2 == 0 else "sliding_attention" for i in range(layers)], _sliding_window_pattern=2)
    if family == "modernbert-decoder":
        c["pad_token_id"] = 0
        c["rope_parameters"] = {"full_attention": turn, "sliding_attention": {"rope_type": "default", "rope_theta": R.choice([10000.0, 100.0])}}
        c.update(local_attention=2 * window + R.randrange(2), classifier_activation=R.choice(["gelu", "silu"]))
        c.update(layer_types=R.choices(["full_attention", "sliding_attention"], k=layers))
    if family == "nanochat":
        c.update(rope_parameters={"rope_type": "default", "rope_theta": turn["rope_theta"]}, final_logit_softcapping=R.choice([15.0, 2.0, None]))
        del c["tie_word_embeddings"]
    if family == "cohere2":
        c.update(sliding_window=window, layer_types=R.choices(["full_attention", "sliding_attention"], k=layers), logit_scale=R.choice([0.0625, 1.0]))
    if family in ("gemma2", "vaultgemma"):
        c.update(sliding_window=window, query_pre_attn_scalar=R.choice([size, 17, 256]), final_logit_softcapping=R.choice([None, 2.0]),
                 attn_logit_softcapping=R.choice([None, 2.0, 50.0]))
    if family in ("mistral", "starcoder2", "phi3"):
        c.update(sliding_window=window if slides else None)
    if family in ("qwen2", "qwen3"):
        c.update(use_sliding_window=slides, sliding_window=window, max_window_layers=R.randrange(layers + 1))
    if family == "smollm3":
        c.update(use_sliding_window=slides, sliding_window=window if slides else None)
        c.update(R.choice([{"no_rope_layers": [R.randrange(2) for _ in range(layers)]}, {"no_rope_layer_interval": R.choice([1, 2, 4])}]))
    if family == "hunyuan_v1_dense" and turn["rope_type"] == "dynamic" and maybe(0.7):
        turn.update(alpha=R.choice([1.0, 30.0, 1000.0]), factor=1.0, beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0)
    if family == "lfm2":
        kinds = [R.choice(["conv", "full_attention"]) for _ in range(layers)]
        c.update(layer_types=kinds if "full_attention" in kinds else ["full_attention"] * layers, conv_L_cache=R.choice([1, 2, 3, 3, 4, 7]),
                 conv_bias=maybe(0.5), block_auto_adjust_ff_dim=maybe(0.7), block_multiple_of=R.choice([1, 8, 256]),
                 block_ffn_dim_multiplier=R.choice([1.0, 1.3]))
        c.pop("hidden_act")
    if family == "lfm3":
        kinds = [R.choice(["conv", "full_attention", "sliding_attention"]) for _ in range(layers)]
        far = {"rope_type": "proportional", "rope_theta": turn["rope_theta"], "partial_rotary_factor": R.choice([0.25, 0.5, 0.7, 1.0])}
        c.update(layer_types=kinds if set(kinds) != {"conv"} else ["full_attention"] * layers, conv_L_cache=R.choice([1, 3, 7]),
                 conv_bias=maybe(0.5), sliding_window=window, use_sandwich_norm=maybe(0.7), use_attention_gate=maybe(0.7),
                 attention_bias=maybe(0.3), rope_parameters={
                     "full_attention": far if maybe(0.6) else turn, "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}})
        c.pop("hidden_act")
    if family == "exaone4":
        c.update({"sliding_window": window, "sliding_window_pattern": R.choice([2, 3, 4])} if slides else
                 {"sliding_window": None, "layer_types": ["full_attention"] * layers})
    if family == "granitemoehybrid":
        c.update(num_local_experts=0, layer_types=["full_attention"] * layers, position_embedding_type=R.choice(["rope", "rope", None]),
                 shared_intermediate_size=c.pop("intermediate_size"), mamba_n_heads=1)
    if family in ("granite", "granitemoehybrid"):
        c.update(embedding_multiplier=R.choice([1.0, 12.0]), logits_scaling=R.choice([1.0, 6.0]), residual_multiplier=0.22, attention_multiplier=0.1)
    flags = {"llama": ["attention_bias", "mlp_bias"], "smollm3": ["attention_bias", "mlp_bias"], "granite": ["attention_bias", "mlp_bias"],
             "qwen3": ["attention_bias"], "olmo2": ["attention_bias"], "gemma": ["attention_bias"], "gemma2": ["attention_bias"],
             "stablelm": ["use_qkv_bias", "qk_layernorm", "use_parallel_residual"], "phi": ["qk_layernorm"],
             "gpt_neox": ["attention_bias", "use_parallel_residual"], "starcoder2": ["use_bias"], "olmo": ["attention_bias"], "ernie4_5": ["use_bias"],
             "helium": ["attention_bias", "mlp_bias"], "glm": ["attention_bias"], "arcee": ["attention_bias", "mlp_bias"],
             "nanochat": ["attention_bias"], "exaone": ["attention_bias", "mlp_bias"], "nemotron": ["attention_bias", "mlp_bias"],
             "cohere2": ["attention_bias"], "modernbert-decoder": ["attention_bias", "mlp_bias", "norm_bias", "decoder_bias", "classifier_bias"],
             "vaultgemma": ["attention_bias"], "hunyuan_v1_dense": ["attention_bias"], "granitemoehybrid": ["attention_bias"]}
    c.update({flag: maybe(0.5) for flag in flags.get(family, [])})
    if "original_max_position_embeddings" in turn and family == "phi3":
        c.update(original_max_position_embeddings=turn["original_max_position_embeddings"])
    return c


def older(family, config):
    """The same as most published files spell it."""
    c = copy.deepcopy(config)
    c["torch_dtype"] = c.pop("dtype", None)
    c.pop("time_step_limit", None)  # infinity is no JSON
    if family == "lfm3":
        return c
    turn = c.pop("rope_parameters", None)
    if family == "gemma3_text":
        c.update(rope_local_base_freq=turn["sliding_attention"]["rope_theta"], sliding_window_pattern=c.pop("_sliding_window_pattern"))
        turn = turn["full_attention"]
        del c["layer_types"]
    if family == "modernbert-decoder":
        c.update(local_rope_theta=turn["sliding_attention"]["rope_theta"])
        c.update(global_rope_theta=turn["full_attention"]["rope_theta"])
        turn = None
    if turn:
        rest = {k: v for k, v in turn.items() if k not in ("rope_theta", "partial_rotary_factor", "rope_type")}
        name = "rope_type" if family == "gemma3_text" else R.choice(["rope_type", "type"])
        c["rope_scaling"] = None if turn["rope_type"] == "default" else {name: turn["rope_type"], **rest}
        c["rotary_emb_base" if family == "gpt_neox" else "rope_theta"] = turn["rope_theta"]
        if "partial_rotary_factor" in turn:
            c["rotary_pct" if family == "gpt_neox" else "partial_rotary_factor"] = turn["partial_rotary_factor"]
    if family in ("qwen2", "qwen3", "gemma2", "smollm3", "vaultgemma") or c.get("sliding_window_pattern"):
        del c["layer_types"]
    return c


def fill(model, dtype):
    generator = torch.Generator().manual_seed(R.randrange(1 << 30))
    centre = 0 if "Gemma" in type(model).__name__ else 1
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        if p.dim() == 1:
            x = 0.2 * x + (0 if name.endswith("bias") else centre)
        else:
            inputs = p.shape[0] if ".c_" in name and model.config.model_type == "gpt2" else p.shape[-1]
            x *= 0.7 if "embed" in name or "wte" in name or "wpe" in name else 1.3 / math.sqrt(inputs)
        p.data.copy_(x.to(dtype).to(p.dtype))


def build(config, dtype):
    # Falcon's eager form adds its linear biases twice. They are rounded to bfloat16, which changes nothing of the few heads of these models.
    form = "sdpa" if config.model_type == "falcon" else "eager"
    return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype, attn_implementation=form).eval()


def run(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def write_on(model, ids):
    """Greedy tokens, each from a cold run, and by how much each is the best."""
    tokens, margins = [], []
    for _ in range(STEPS):
        best = run(model, ids + tokens)[-1].topk(2)
        tokens.append(best.indices[0].item())
        margins.append((best.values[0] - best.values[1]).item())
    return tokens, margins


def write_with_cache(model, ids):
    cache, tokens, feed = None, [], ids
    for _ in range(STEPS):
        step = model(torch.tensor([feed]), use_cache=True, past_key_values=cache)
        cache, feed = step.past_key_values, [step.logits[0, -1].argmax().item()]
        tokens += feed
    return tokens


def make(family, name):
    given = config_of(family)
    folder, dtype = f"{out}/hf/{name}", R.choice([*([] if SMALL else [FLOAT32, FLOAT32]), torch.float16, torch.bfloat16])
    config = AutoConfig.for_model(family, **copy.deepcopy(given))
    single = build(config, FLOAT32)
    fill(single, dtype)
    with in_float64():
        exact = build(config, torch.float64)
    exact.load_state_dict(single.state_dict())
    copy.deepcopy(single).to(dtype).save_pretrained(folder, max_shard_size=R.choice(["5GB", "5GB", "30KB"]))
    os.remove(f"{folder}/generation_config.json")
    prompts, expected, error, largest = [], {}, 0, 0
    changing = any(kind in json.dumps(given.get("rope_parameters")) for kind in ("dynamic", "longrope"))
    for i, length in enumerate([1, 6, R.randrange(9, 20), R.randrange(24, 44)]):
        ids = [R.randrange(4, given["vocab_size"]) for _ in range(length)]
        with in_float64():
            logits = run(exact, ids)
            greedy, margins = write_on(exact, ids)
            cached = {"greedy_with_cache": write_with_cache(exact, ids)} if changing else {}
        error = max(error, (run(single, ids).double() - logits).abs().max().item())
        largest = max(largest, logits.abs().max().item())
        expected[f"logits.{i}"] = logits.to(FLOAT32).contiguous()
        prompts.append({"ids": ids, "logits": f"logits.{i}", "greedy": greedy, "margins": margins, **cached})
    old = older(family, json.load(open(f"{folder}/config.json")))
    json.dump(old, open(f"{folder}/config.old.json", "w"))
    with in_float64():
        other = build(AutoConfig.for_model(family, **{k: v for k, v in old.items() if k != "model_type"}), torch.float64)
        other.load_state_dict(exact.state_dict())
        if (run(other, prompts[3]["ids"]) - run(exact, prompts[3]["ids"])).abs().max() > 1e-9 * largest:
            os.remove(f"{folder}/config.old.json")
    save_file(expected, f"{folder}/expected.safetensors")
    tolerance = {"atol": max(8 * error, 3e-6 * largest), "rtol": 1e-4}
    case = {"name": name, "model_type": family, "later": False, "tolerance": tolerance, "prompts": prompts}
    json.dump(case, open(f"{folder}/case.json", "w"))


with torch.no_grad():
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        make(family, f"{family}-{seed}-{number}")

"""Prints what transformers writes into config.json and generation_config.json by default, of every family that runs here.

Run by several versions, one after the other, each adds a line to tests/model/fixtures/transformers-defaults.jsonl:
python tests/model/defaults.py >> tests/model/fixtures/transformers-defaults.jsonl
"""

import json

import transformers
from transformers import GenerationConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "gpt_neox", "gpt2", "olmo2", "smollm3",
            "granite", "stablelm", "starcoder2", "gpt_neo", "opt", "gpt_bigcode", "olmo", "ernie4_5", "helium", "glm", "arcee", "exaone4",
            "vaultgemma", "hunyuan_v1_dense", "lfm2", "lfm3", "bloom", "falcon", "mpt", "nanochat", "codegen", "gptj", "modernbert-decoder",
            "xglm", "biogpt", "openai-gpt", "exaone", "nemotron", "cohere2"]

configs = {name: CONFIG_MAPPING[name]().to_dict() for name in FAMILIES if name in CONFIG_MAPPING}
generation = {**GenerationConfig().to_dict(), "_from_model_config": True}
print(json.dumps({"version": transformers.__version__, "configs": configs, "generation": generation}, separators=(",", ":")))

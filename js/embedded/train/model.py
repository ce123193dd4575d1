"""GPT-2, with the parameter names and orientations of the Hugging Face checkpoints.

`Conv1D` weights are stored `[in, out]`, as in the originally released GPT-2;
the output layer is the transposed token embedding (no `lm_head` tensor).
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    layer_norm_epsilon: float = 1e-5

    def to_json(self, end_of_text):
        """The Hugging Face `config.json` for this shape."""
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            **asdict(self),
            "activation_function": "gelu_new",
            "tie_word_embeddings": True,
            "bos_token_id": end_of_text,
            "eos_token_id": end_of_text,
        }

    @classmethod
    def from_json(cls, fields):
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})


class Conv1D(nn.Module):
    """A linear layer whose weight is `[in, out]`."""

    def __init__(self, n_in, n_out, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out) * std)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], -1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd, std=config.n_embd**-0.5)
        self.c_proj = Conv1D(config.n_embd, config.n_embd, std=0.0)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.c_attn(x).view(batch, length, 3, self.n_head, width // self.n_head)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd, std=config.n_embd**-0.5)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd, std=0.0)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config, dropout):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)
        self.dropout = dropout

    def forward(self, x):
        x = x + F.dropout(self.attn(self.ln_1(x)), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.ln_2(x)), self.dropout, self.training)


class GPT2(nn.Module):
    """Dropout, where asked for, acts on what each block adds to the residual stream."""

    def __init__(self, config, dropout=0.0):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config, dropout) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)

    def forward(self, ids):
        """Logits `[batch, length, vocab]` of the token that follows each of `ids [batch, length]`."""
        x = self.wte(ids) + self.wpe.weight[: ids.size(1)]
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T

    def loss(self, ids, targets):
        logits = self(ids)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.parameters())


def sinusoids(length, width):
    """Sine and cosine waves of geometric wavelengths: a start for `wpe` where near positions are alike."""
    position = torch.arange(length)[:, None]
    rate = torch.exp(-math.log(10000.0) * torch.arange(0, width, 2) / width)
    return torch.cat([torch.sin(position * rate), torch.cos(position * rate)], dim=1)

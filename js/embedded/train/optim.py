"""Muon for the hidden matrices, AdamW for everything else.

Muon (Jordan et al., 2024) replaces each matrix's momentum by the nearest
orthogonal matrix, found with a few Newton-Schulz steps. All matrices of one
shape are stacked and orthogonalised together. `c_attn` is treated as its three
square parts, so that query, key and value are scaled independently.
"""

import torch


def orthogonalise(matrices, steps=5):
    """Push the singular values of `[n, rows, columns]` matrices towards 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; decoupled weight decay."""

    def __init__(self, matrices, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            stacks = {}
            for matrix in group["params"]:
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum = state["momentum"].lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(momentum, group["momentum"])
                rows, columns = matrix.shape
                parts = 3 if columns == 3 * rows else 1
                for part, piece in zip(matrix.chunk(parts, 1), update.chunk(parts, 1)):
                    stacks.setdefault(piece.shape, []).append((part, piece))
            for (rows, columns), pairs in stacks.items():
                updates = orthogonalise(torch.stack([piece for _, piece in pairs]))
                step = group["lr"] * max(1.0, columns / rows) ** 0.5
                for (part, _), update in zip(pairs, updates):
                    part.mul_(1 - group["lr"] * group["weight_decay"])
                    part.add_(update, alpha=-step)


def make_optimizers(model, lr_matrix, lr_embedding, lr_vector, weight_decay):
    """(Muon, AdamW); every group remembers its peak rate as `peak`."""
    matrices, vectors = [], []
    for name, parameter in model.h.named_parameters():
        (matrices if parameter.ndim == 2 else vectors).append(parameter)
    vectors += list(model.ln_f.parameters())
    muon = Muon(matrices, lr=lr_matrix, weight_decay=weight_decay)
    adam = torch.optim.AdamW(
        [
            {"params": [model.wte.weight, model.wpe.weight], "lr": lr_embedding},
            {"params": vectors, "lr": lr_vector},
        ],
        betas=(0.9, 0.98),
        eps=1e-10,
        weight_decay=0.0,
        fused=True,
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return muon, adam

"""Gradients of one batch by several single-threaded processes that share memory.

On a machine shared with other work this is faster than one process of several
threads: threads meet at every operation and wait for the slowest, processes
meet once a step. A batch is cut into parts, and whoever is free takes the next.
"""

import torch
import torch.multiprocessing as multiprocessing

PARTS = 4  # of a batch


class _Share:
    """What the processes share; picklable, all tensors in shared memory."""

    def __init__(self, context, model, workers, batch_tokens):
        self.model = model.share_memory()
        size = sum(parameter.numel() for parameter in model.parameters())
        self.gradients = torch.zeros(workers, size).share_memory_()
        self.losses = torch.zeros(PARTS).share_memory_()
        self.batch = torch.zeros(batch_tokens, dtype=torch.int64).share_memory_()
        self.shape = torch.zeros(2, dtype=torch.int64).share_memory_()
        self.next_part = context.Value("i", 0)
        self.barrier = context.Barrier(workers)


class _Worker:
    def __init__(self, share, rank, seed):
        torch.manual_seed(1000 * seed + rank)
        self.share, self.rank = share, rank
        torch.set_num_threads(1)
        share.model.train()
        self.loss_of = share.model.loss
        at = 0
        for parameter in share.model.parameters():
            view = share.gradients[rank, at : at + parameter.numel()]
            parameter.grad = view.view_as(parameter)
            at += parameter.numel()

    def work(self):
        """Parts of the batch, until none is left; adds to this worker's gradients."""
        share = self.share
        rows, columns = share.shape.tolist()
        ids = share.batch[: rows * columns].view(PARTS, rows // PARTS, columns)
        share.gradients[self.rank].zero_()
        while True:
            with share.next_part.get_lock():
                part = share.next_part.value
                share.next_part.value += 1
            if part >= PARTS:
                return
            loss = self.loss_of(ids[part, :, :-1], ids[part, :, 1:]) / PARTS
            loss.backward()
            share.losses[part] = loss.detach()


def _serve(share, rank, seed):
    worker = _Worker(share, rank, seed)
    while True:
        share.barrier.wait()
        worker.work()
        share.barrier.wait()


class Gradients:
    """`compute(ids)` leaves the mean gradient of a batch in the model's parameters; returns its loss."""

    def __init__(self, model, workers, batch_tokens, seed):
        context = multiprocessing.get_context("spawn")
        self.share = _Share(context, model, workers, batch_tokens)
        self.processes = [
            context.Process(target=_serve, args=(self.share, rank, seed), daemon=True) for rank in range(1, workers)
        ]
        for process in self.processes:
            process.start()
        self.worker = _Worker(self.share, 0, seed)

    def compute(self, ids):
        share = self.share
        share.shape.copy_(torch.tensor(ids.shape))
        share.batch[: ids.numel()].copy_(ids.flatten())
        share.next_part.value = 0
        share.barrier.wait()
        self.worker.work()
        share.barrier.wait()
        for others in share.gradients[1:]:
            share.gradients[0] += others
        return share.losses.sum()

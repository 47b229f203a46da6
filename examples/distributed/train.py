"""Train an MLP on the digits with several processes, by DDP or FSDP. Rank 0 records the run and saves its checkpoint.

torchrun --standalone --nproc_per_node 2 train.py --lr 0.1      # by itself, into runs/
lrbench sweep train.yaml                                        # over learning rates and seeds
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import lrbench

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--batch-size", type=int, default=64, help="of all ranks together")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--strategy", choices=["ddp", "fsdp"], default="ddp")
parser.add_argument("--resume", metavar="CHECKPOINT", help="go on from it")
options = parser.parse_args()

if "RANK" not in os.environ:
    parser.error("start it with torchrun, such as torchrun --standalone --nproc_per_node 2 train.py")
gpu = torch.cuda.is_available()
dist.init_process_group("nccl" if gpu else "gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
if options.batch_size % ranks:
    parser.error(f"--batch-size must be a multiple of the {ranks} ranks (got {options.batch_size})")
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
if gpu:
    torch.cuda.set_device(device)

torch.manual_seed(options.seed)  # the same weights on all ranks
data = [torch.tensor(part) for part in train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=0)]
x, x_val, y, y_val = (part.to(device) for part in (data[0].float() / 16, data[1].float() / 16, *data[2:]))
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)).to(device)
if options.strategy == "fsdp":
    fully_shard(model[0])
    fully_shard(model[2])
    fully_shard(model)
else:
    model = DistributedDataParallel(model)
steps_per_epoch = len(x) // options.batch_size
optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9)

whole = StateDictOptions(full_state_dict=True, cpu_offload=True)  # the same file, whatever the strategy
done = 0  # epochs
if options.resume:
    state = torch.load(options.resume, weights_only=True)
    set_state_dict(
        model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"], options=whole
    )
    done = state["epoch"]


def save(epoch):
    """Save the checkpoint. All ranks take part, rank 0 writes; a killed process leaves the one before."""
    weights, moments = get_state_dict(model, optimizer, options=whole)
    if rank == 0:
        torch.save({"epoch": epoch, "model": weights, "optimizer": moments}, "checkpoint.tmp")
        Path("checkpoint.tmp").replace("checkpoint.pt")


def mean(value):
    """Average a value over the ranks."""
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / ranks


settings = {"lr": options.lr, "batch_size": options.batch_size, "epochs": options.epochs, "strategy": options.strategy}
total = options.epochs * steps_per_epoch
with lrbench.record(config=settings, seed=options.seed, total_steps=total, resume=bool(options.resume)) as run:
    run.watch(optimizer)  # on rank 0; on the other ranks, all calls do nothing
    for epoch in range(done + 1, options.epochs + 1):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 * options.seed + epoch))
        for number in range(steps_per_epoch):
            batch = order[number * options.batch_size :][: options.batch_size][rank::ranks]  # this rank's part of it
            optimizer.zero_grad()
            loss = cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            run.step(loss=mean(loss), step=(epoch - 1) * steps_per_epoch + number + 1)
        with torch.no_grad():
            out = model(x_val)
        correct = (out.argmax(1) == y_val).float().mean()
        run.evaluate(val_loss=cross_entropy(out, y_val), val_accuracy=correct, epoch=epoch)
        save(epoch)
dist.destroy_process_group()

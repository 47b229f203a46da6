"""Training a small GPT: lrbench beside a plain PyTorch loop and Hugging Face's Trainer, tokens per second and memory.

python benchmarks/language.py --rounds 5
python benchmarks/language.py --rounds 5 --threads 1 --clock cpu --precision bf16

All three train GPT-2's architecture with the same sizes on the embedded text, in float32 or under bfloat16 autocast,
with AdamW, weight decay 0.1 and the gradient clipped to 1. Each runs in a process of its own, in turn; start-up, the
first steps and evaluation are left out. The plain loop is written as nanoGPT's: random windows, a model of its own, the
loss read back every ten steps. A speed is the median of chunks of 20 steps; lrbench's have the evaluation of a few
windows in them. Ratios are taken within a round, since a shared machine's speed changes from minute to minute. Where
other work waits for the same cores, `--clock cpu` counts processor time, which needs `--threads 1`. Memory is the peak
of the whole process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import output
from torch import Tensor, nn

from lrbench.components.data.text import EMBEDDED

SIZES = {"layers": 4, "width": 128, "heads": 4, "context": 64, "batch": 32}
VOCABULARY, LR, DECAY, CLIP = 256, 1e-3, 0.1, 1.0
WARM = CHUNK = 20  # steps left out; steps timed together
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


def between(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def lrbench_run(steps: int, clock: Clock, precision: str) -> list[float]:
    """Seconds of each chunk of a run, from one evaluation to another."""
    import lrbench

    config = {
        "name": "language",
        "dataset": {"name": "text", "context": SIZES["context"], "validation": {"fraction": 0.0005}},
        "model": {"name": "gpt", **{key: SIZES[key] for key in ("layers", "width", "heads")}},
        "optimizer": {"name": "adamw", "lr": LR, "weight_decay": DECAY, "betas": [0.9, 0.99]},
        "schedule": "constant",
        "steps": WARM + steps,
        "eval_every": f"{CHUNK} steps",
        "batch_size": SIZES["batch"],
        "clip_grad_norm": CLIP,
        "precision": precision,
        "device": "cpu",
    }
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "language.yaml"
        path.write_text(json.dumps(config))  # YAML too
        lrbench.run([path], runs=folder, watch=lambda event: times.append(clock()) if event.kind == "epoch" else None)
    return between(times)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (y.view(n, t, self.heads, c // self.heads).transpose(1, 2) for y in self.attn(x).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.proj(y.transpose(1, 2).contiguous().view(n, t, c))
        return out


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(width), Attention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Plain(nn.Module):
    """GPT-2 as people write it by hand."""

    def __init__(self) -> None:
        super().__init__()
        width, heads = SIZES["width"], SIZES["heads"]
        self.wte, self.wpe = nn.Embedding(VOCABULARY, width), nn.Embedding(SIZES["context"], width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(SIZES["layers"]))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        self.lm_head.weight = self.wte.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def corpus() -> Tensor:
    """The training part of the embedded text, as bytes."""
    whole = torch.frombuffer(bytearray(gzip.decompress(EMBEDDED.read_bytes())), dtype=torch.uint8)
    return whole[: int(0.81 * len(whole))]


def plain_loop(steps: int, clock: Clock, precision: str) -> list[float]:
    """Seconds of each chunk of a plain loop."""
    data, size, context = corpus(), SIZES["batch"], SIZES["context"]
    torch.manual_seed(0)
    model = Plain()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.99), weight_decay=DECAY)

    def batch() -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(data) - context, (size,))
        x = torch.stack([data[i : i + context].long() for i in starts])
        y = torch.stack([data[i + 1 : i + 1 + context].long() for i in starts])
        return x, y

    times = []
    for step in range(WARM + steps):
        if step % CHUNK == 0:
            times.append(clock())
        x, y = batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            loss.item()
    return between([*times[1:], clock()])


def trainer(steps: int, clock: Clock, precision: str) -> list[float]:
    """Seconds of each chunk of Hugging Face's Trainer, from one callback to another."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    data, context = corpus(), SIZES["context"]
    windows = data[: len(data) // context * context].view(-1, context).long()
    examples = [{"input_ids": window, "labels": window} for window in windows]  # the model shifts them
    names = {"n_layer": "layers", "n_head": "heads", "n_embd": "width", "n_positions": "context"}
    sizes = {theirs: SIZES[ours] for theirs, ours in names.items()}
    no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **sizes, **no_dropout))
    times: dict[int, float] = {}

    class Timer(TrainerCallback):
        def on_step_end(self, args: object, state: object, control: object, **given: object) -> None:
            times[state.global_step] = clock()  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=WARM + steps,
            per_device_train_batch_size=SIZES["batch"],
            learning_rate=LR,
            adam_beta2=0.99,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            lr_scheduler_type="constant",
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=precision == "bf16",
            disable_tqdm=True,
        )
        Trainer(model=model, args=arguments, train_dataset=examples, callbacks=[Timer()]).train()
    return between([times[step] for step in range(WARM, WARM + steps + 1, CHUNK)])


WAYS: dict[str, Callable[[int, Clock, str], list[float]]] = {
    "lrbench": lrbench_run,
    "plain PyTorch loop": plain_loop,
    "Hugging Face Trainer": trainer,
}


def measured(way: str, chosen: argparse.Namespace) -> dict[str, float]:
    """Tokens per second and the peak memory in MiB of one way, in a process of its own."""
    words = [sys.executable, __file__, "--only", way]
    for key in ("clock", "precision", "steps", "threads"):
        words += [f"--{key}", str(getattr(chosen, key))]
    found: dict[str, float] = json.loads(output(words, chosen.threads).strip().splitlines()[-1])
    return found


def alone(chosen: argparse.Namespace) -> dict[str, float]:
    """The same of one way in this process."""
    torch.set_num_threads(chosen.threads)
    seconds = statistics.median(WAYS[chosen.only](chosen.steps, CLOCKS[chosen.clock], chosen.precision))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"speed": CHUNK * SIZES["batch"] * SIZES["context"] / seconds, "mib": peak}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="counted, after those that warm up")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is autocast")
    parser.add_argument("--only", choices=WAYS, help="measure one way in this process")
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(alone(chosen)))
        return
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(chosen.rounds):
        for way in WAYS if number % 2 == 0 else reversed(list(WAYS)):
            found = measured(way, chosen)
            rounds[way].append(found)
            print(f"{way}: {found['speed']:,.0f} tokens/s, {found['mib']:,.0f} MiB", file=sys.stderr)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    machine = f"{platform.processor() or platform.machine()}, {chosen.threads} threads, {chosen.clock} time"
    print(f"{machine}; {chosen.precision}; {packages}; {chosen.rounds} rounds of {chosen.steps} steps\n")
    print("| | tokens/s | lrbench's speed against it | peak MiB |\n| --- | ---: | ---: | ---: |")
    for way, found_ones in rounds.items():
        pairs = zip(rounds["lrbench"], found_ones, strict=True)
        ratios = [ours["speed"] / other["speed"] for ours, other in pairs]
        ratio = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} … {max(ratios):.2f})"
        speed, memory = (statistics.median(one[key] for one in found_ones) for key in ("speed", "mib"))
        print(f"| {way} | {speed:,.0f} | {'1' if way == 'lrbench' else ratio} | {memory:,.0f} |")


if __name__ == "__main__":
    main()

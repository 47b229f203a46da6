"""Run folders and logs as somebody would make them who wants to harm their reader."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SECRET = "the-secret-of-another-folder"
MARKUP = [
    "=cmd|' /C calc'!A0", "@SUM(1+9)*cmd", "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>',
    "\\input{/etc/passwd}", "$(touch pwned)", "`touch pwned`", "[a](javascript:alert(1))", "\x1b[31mred\x1b]8;;x\x07y",
    "\u202eevil\u2066", "a\n\n# heading\r\nError: lost", "{{7*7}}{% raw %}", "%s%n{0.__class__}", "[red]x[/red]",
]  # fmt: skip
"""Texts that mean something to a spreadsheet, a browser, LaTeX, a shell, Markdown, a terminal, a template."""
DEEP = 20_000
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n  k{n}: 1\n" for n in range(1, 12)
)
OBJECTS = "x: !!python/object/apply:os.system ['touch pwned']\ny: !!python/name:os.system ''\nlr: 0.1\n"
JSON: dict[str, bytes] = {
    "deep": b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
    "deeper than a reader goes": b'{"final": ' * 600 + b"{}" + b"}" * 600,
    "list": b"[" * DEEP,
    "long": b'{"steps": ' + b"9" * 10_000 + b"}",
    "whole": b'{"steps": ' + b"9" * 4_000 + b', "epochs": 1e999999}',
    "nan": b'{"seconds": NaN}',
    "nul": b"\0" * 1000,
    "bytes": b"\xff\xfe\x00{",
    "other": b"[1, 2]",
    "empty": b"",
}
YAML: dict[str, bytes] = {
    "bomb": BOMB.encode(),
    "merges": MERGES.encode(),
    "itself": b"a: &a [*a]\nb: &b {c: *b}\n",
    "deep": b"[" * 4_500,
    "maps": b"{a: " * 3_000,
    "objects": OBJECTS.encode(),
    "long": b"seed: " + b"9" * 10_000 + b"\n",
    "whole": b"seed: " + b"9" * 4_000 + b"\n",
    "nul": b"a: \0\n",
    "bytes": b"\xff\xfe\xfd",
    "many": b"- a\n" * 45_000,
}
CSV: dict[str, bytes] = {
    "wide": b"val_loss," * 1_000_000 + b"\n" + b"1," * 1_000_000 + b"\n",
    "broad": b"epoch,step,lr,val_loss," + b"a," * 30_000 + b"\n" + (b"1,1,0.1,0.5," + b"1," * 30_000 + b"\n") * 20,
    "short": b"a," * 49_000 + b"\n" + b"1\n" * 1_000,
    "numbers": b"epoch,step,lr,train_loss,val_loss\n1,1e999,-1e999," + b"9" * 5_000 + b",0x1\n",
    "nul": b"epoch,step,lr\n\0,\0,\0\n",
    "bytes": b"\xff\xfe\n\xff\n",
    "quotes": b'epoch,step,lr,val_loss\n"' + b"a" * 300_000 + b"\n",
    "computed": b"=cmd|' /C calc'!A0,step,lr,val_loss\n1,1,0.1,0.5\n",
    "line": b"1" * 300_000,
}


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10_000_000_000)


def looping(path: Path) -> None:
    path.symlink_to(path.name)


def outside(path: Path) -> None:
    """A link to another folder's file of the same name, which is valid but for its secret."""
    path.symlink_to(path.parents[2] / "outside" / path.name)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "outside": outside,
    "loop": looping,
    "nowhere": lambda path: path.symlink_to("/no/such/file"),
    "folder": Path.mkdir,
    "sparse": sparse,
}
"""What lies in the place of a file."""
FILES: dict[str, dict[str, bytes]] = {
    "config.yaml": YAML,
    "env.json": JSON,
    "result.json": JSON,
    "recorded.json": JSON,
    "job.json": JSON,
    "lock": JSON,
    "epochs.csv": CSV,
    "steps.csv": CSV,
    "error.log": {"text": "\n".join(MARKUP).encode(), "bytes": b"\xff\x00" * 1000},
    "output.log": {"text": "\n".join(MARKUP).encode(), "line": b"x" * 5_000_000},
}


def attacks() -> list[tuple[str, str]]:
    return [(file, how) for file, contents in FILES.items() for how in (*contents, *ODD)]


def replace(path: Path, how: str) -> None:
    """Put an attack in the place of a file."""
    path.unlink(missing_ok=True)
    content = FILES.get(path.name, {}).get(how)
    if content is None:
        ODD[how](path)
    else:
        path.write_bytes(content)


def steal(top: Path, good: Path) -> None:
    """Make `outside`: files as in a run's folder, each with the secret in it."""
    there = top / "outside"
    there.mkdir()
    for file in FILES:
        kept = (good / file).read_text() if (good / file).exists() else ""
        (there / file).write_text(f"{kept}\n# {SECRET}\n")
    for file in ("env.json", "result.json"):
        plain = json.loads((good / file).read_text())
        (there / file).write_text(json.dumps({**plain, "reason": SECRET, "gpu": SECRET, "processor": SECRET}))


def speak(path: Path, text: str) -> None:
    """Put a text wherever a run folder has free text."""
    for file, keys in (
        ("env.json", ("gpu", "processor", "lrbench", "device", "started")),
        ("result.json", ("reason",)),
    ):
        plain = json.loads((path / file).read_text())
        (path / file).write_text(json.dumps({**plain, **dict.fromkeys(keys, text)}))
    env = json.loads((path / "env.json").read_text())
    more = {"packages": {text: text}, "user_code": {text: text}, "arguments": [text], "git": {"commit": text}}
    (path / "env.json").write_text(json.dumps({**env, **more}))
    (path / "error.log").write_text(text)


def commented(path: Path, text: str) -> None:
    """Put a text into a run's config as its reference, which is part of no identity."""
    plain = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**plain, "reference": {"test_loss": 0.1, "source": text}}))


# -- other tools' logs


class Touch:
    """A pickle that makes a file `pwned`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def zipped(content: bytes, name: str = "archive/data.pkl", *, packed: bool = False) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


def bomb() -> bytes:
    """A small archive of a large file of zeros."""
    return zipped(b"\0" * 200_000_000, "archive/data/0", packed=True)


def event_file(*events: Any) -> bytes:
    """An event file of TensorBoard."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    found = b""
    for one in events:
        body = one if isinstance(one, bytes) else one.SerializeToString()
        size = struct.pack("<Q", len(body))
        found += size + struct.pack("<I", masked_crc32c(size)) + body + struct.pack("<I", masked_crc32c(body))
    return found


def large_tensor() -> bytes:
    """An event with one number that stands for a tensor of terabytes."""
    from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

    dims = [tensor_shape_pb2.TensorShapeProto.Dim(size=2**20) for _ in range(2)]
    shape = tensor_shape_pb2.TensorShapeProto(dim=dims)
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, float_val=[1.0])
    value = summary_pb2.Summary.Value(tag="val_loss", tensor=tensor)
    return event_file(event_pb2.Event(step=1, wall_time=1.0, summary=summary_pb2.Summary(value=[value])))


def lying_length() -> bytes:
    """An event file whose first event says that it has exabytes."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    size = struct.pack("<Q", 2**60)
    return size + struct.pack("<I", masked_crc32c(size)) + b"x" * 100


STATE = {"log_history": [{"loss": 0.5, "step": 1}, {"eval_loss": 0.4, "step": 1}], "global_step": 1, "max_steps": 1}
ROWS = b"step,lr,val_loss\n1,0.1,0.5\n2,0.1,0.4\n"
EVENTS = "events.out.tfevents.1.host"


def logs() -> dict[str, dict[str, bytes | Callable[[Path], object]]]:
    """The files of folders of other tools' logs, by what is wrong with each."""
    found: dict[str, dict[str, bytes | Callable[[Path], object]]] = {
        f"csv {how}": {"metrics.csv": text} for how, text in CSV.items()
    }
    found |= {f"hparams {how}": {"metrics.csv": ROWS, "hparams.yaml": text} for how, text in YAML.items()}
    found |= {f"args {how}": {"metrics.csv": ROWS, "args.json": text} for how, text in JSON.items()}
    found |= {f"state {how}": {"trainer_state.json": text} for how, text in JSON.items()}
    found |= {f"lines {how}": {"train.jsonl": b'{"val_loss": 1}\n' + text} for how, text in JSON.items()}
    deep = json.dumps({"log_history": [{"loss": 1, "step": 1, "a": json.loads('{"b":' * 300 + "1" + "}" * 300)}]})
    found["state rows"] = {"trainer_state.json": deep.encode()}
    for how, content in {
        "pickle": zipped(pickle.dumps(Touch())),
        "bare pickle": pickle.dumps(Touch()),
        "bomb": zipped(b"\0" * 100_000_000, packed=True),
        "number": zipped(b"\x80\x04\x8b" + struct.pack("<i", 900_000) + b"\x7f" * 900_000 + b"."),
    }.items():
        found[f"arguments {how}"] = {"trainer_state.json": json.dumps(STATE).encode(), "training_args.bin": content}
    for how, act in ODD.items():
        for name in ("metrics.csv", "train.jsonl", "trainer_state.json", EVENTS, "run-1.wandb", "mlflow.db"):
            found[f"{name} {how}"] = {name: act}
        found[f"hparams {how}"] = {"metrics.csv": ROWS, "hparams.yaml": act}
    found["events tensor"] = {EVENTS: large_tensor()}
    found["events length"] = {EVENTS: lying_length()}
    found["events other"] = {EVENTS: event_file(b"\xff" * 100)}
    found["wandb other"] = {"run-1.wandb": b":W&B\0\0\0" + struct.pack("<IHB", 0, 20, 1) + b"\xff" * 20}
    found["panel"] = {"export.csv": b'"Step","=cmd - val_loss"\n1,0.5\n2,' + b"9" * 5_000 + b"\n"}
    found["table"] = {"export.csv": b'"Name","State","Runtime","lr"\n"=cmd","finished",1,' + b"9" * 4_200 + b"\n"}
    found["seed"] = {"metrics.csv": ROWS, "args.json": b'{"lr": ' + b"9" * 4_000 + b', "seed": 1e999}'}
    return found

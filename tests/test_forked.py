"""A process that is forked is what Python would have started, as far as tests look."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from forked import POSSIBLE, Starts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not POSSIBLE, reason="needs Linux")]
PROGRAM = """
import json, os, sys, threading, time
told = {"argv": sys.argv, "name": __name__, "folder": os.getcwd(), "given": os.environ.get("GIVEN"),
        "read": sys.stdin.read(), "leads": os.getsid(0) == os.getpid(),
        "parent": os.getppid(), "path": sys.path[0], "pid": os.getpid(),
        "main": sys.modules["__main__"].__file__, "loaded": "torch" in sys.modules}
print(json.dumps(told))
print("to the errors", file=sys.stderr)
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread is waited for"))).start()
ends = {"leave": lambda: sys.exit(3), "say": lambda: sys.exit("said"), "fail": lambda: 1 / 0, "end": lambda: None}
ends[sys.argv[1]]()
"""


@pytest.fixture(params=["forked", "started"])
def starts(request: pytest.FixtureRequest, forks: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starts:
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(PROGRAM)
    return forks if request.param == "forked" else Starts()


@pytest.mark.parametrize(
    ("word", "code", "last"),
    [("end", 0, "to the errors"), ("leave", 3, "to the errors"), ("say", 1, "said"),
     ("fail", 1, "ZeroDivisionError: division by zero")],
)  # fmt: skip
def test_a_program_runs_and_ends(starts: Starts, word: str, code: int, last: str) -> None:
    Path("inner").mkdir()
    process = starts.popen(
        [Path("program.py").absolute(), word], cwd="inner", env={**os.environ, "GIVEN": "yes"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    output, errors = process.communicate("some input", timeout=60)
    told, *more = output.splitlines()
    here = str(Path.cwd())
    assert process.returncode == code and errors.splitlines()[-1] == last and more == ["a thread is waited for"]
    assert json.loads(told) | {"loaded": 0} == {
        "argv": [f"{here}/program.py", word], "name": "__main__", "folder": f"{here}/inner", "given": "yes",
        "read": "some input", "leads": True, "parent": os.getpid(), "path": here, "pid": process.pid,
        "main": f"{here}/program.py", "loaded": 0,
    }  # fmt: skip
    assert json.loads(told)["loaded"] == (type(starts) is not Starts)


def test_modules_and_code_run_too(starts: Starts) -> None:
    assert starts.run(["-m", "lrbench", "--version"], timeout=60).stdout.startswith("lrbench ")
    code = "import sys; print(sys.argv, sys.path[0] in ('', sys.argv[-1]))"
    assert starts.run(["-c", code, Path.cwd()], timeout=60).stdout == f"['-c', '{Path.cwd()}'] True\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_signals_end_it(starts: Starts, number: int, code: int) -> None:
    code_of = "import time; print('here', flush=True); time.sleep(60)"
    with starts.popen(["-c", code_of], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == code


def test_output_is_there_at_once_where_that_is_asked_for(starts: Starts) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with starts.popen(["-c", "import time; print('here'); time.sleep(60)"], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None and process.stdout.readline() == b"here\n"
        process.kill()


def test_a_file_of_the_caller_stays_open(starts: Starts) -> None:
    with Path("output.txt").open("w") as file:
        assert starts.popen(["-c", "print(1)"], stdout=file, stderr=subprocess.STDOUT).wait(60) == 0
        file.write("2\n")
    assert Path("output.txt").read_text() == "1\n2\n"


def test_programs_in_the_path_are_forks(forks: Starts, tmp_path: Path) -> None:
    forks.shims(tmp_path)
    code = "import sys, os; print('torch' in sys.modules, os.environ['GIVEN'], sys.argv[1:]); sys.exit(7)"
    (tmp_path / "a.py").write_text(code)
    for command, said, ended in (
        ("python a.py b", "True yes ['b']\n", 7),
        ("cat a.py | python - b", "False yes ['b']\n", 7),
        ("lrbench --version | cut -c 1-7", "lrbench\n", 0),
        ("python -c 'import os; os.kill(os.getpid(), 9)'", "", 137),
    ):
        env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "GIVEN": "yes"}
        done = subprocess.run(
            ["bash", "-c", f"{command}; exit $?"], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert (done.stdout, done.returncode) == (said, ended), done.stderr


WORKER = """
import multiprocessing, os, sys

def told(pipe):
    pipe.send([os.environ["GIVEN"], os.getcwd(), "torch" in sys.modules, __name__])

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    os.environ["GIVEN"] = "later"
    worker = context.Process(target=told, args=(theirs,))
    worker.start()
    theirs.close()
    print(ours.recv(), flush=True)
    worker.join()
    print(worker.exitcode, multiprocessing.forkserver._forkserver._forkserver_pid in
          [int(line) for line in open(f"/proc/self/task/{os.getpid()}/children").read().split()])
"""


def test_its_workers_are_forked_from_a_process_of_its_own(starts: Starts) -> None:
    """One that has done nothing but import, and ends with it."""
    Path("workers.py").write_text(WORKER)
    done = starts.run(["workers.py"], timeout=60, env={**os.environ, "GIVEN": "first"})
    forked = type(starts) is not Starts
    assert done.stdout.splitlines() == [str(["later", str(Path.cwd()), forked, "__mp_main__"]), "0 True"], done.stderr

"""The process between lrbench and a command: it ends the command and all that it started, also if lrbench is killed.

It is started as a script, with the command as its arguments and a socket to lrbench as its standard input. It obeys one
byte at a time: `i`, `t` and `k` send SIGINT, SIGTERM and SIGKILL. When the other end is closed, lrbench is gone. At the
end it writes when the command ended, as `time.monotonic` has it, and how: `71.5 exit 3`, `71.5 signal 9`, or
`71.5 error …` if it could not be started. It imports only the standard library, and little of it, since every run waits
for it.
"""

import os
import select
import signal
import sys
import time

GRACE_SECONDS = 5.0  # for the command to end by itself once lrbench is gone
LEFT_SECONDS = 1.0  # for processes that the command has left behind
SIGNALS = {b"i": signal.SIGINT, b"t": signal.SIGTERM, b"k": signal.SIGKILL}


def _control(option: int, value: int) -> None:
    """Call Linux's prctl, without which a few rare processes may be left."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _descendants() -> list[int]:
    """Return the processes that descend from this one, from /proc; none on other systems."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:  # noqa: PTH112, PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] not in (b"Z", b"X"):
                parents[int(name)] = int(fields[1])
    found, newest = [], [os.getpid()]
    while newest:
        newest = [pid for pid, parent in parents.items() if parent in newest]
        found += newest
    return found


def _send(child: int, number: int) -> None:
    """Send a signal to the command's process group and, if it is to end at once, to all that descend from it."""
    others = _descendants() if number == signal.SIGKILL else []
    for send, target in [(os.killpg, child), *((os.kill, pid) for pid in others)]:
        try:
            send(target, number)
        except (ProcessLookupError, PermissionError):
            pass


def _start(arguments: list[str]) -> tuple[int, str]:
    """Start the command in a session of its own; return its process id, and the error if it can't be started."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.setsid()
            _control(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: if this supervisor is killed, the command is too
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.execvp(arguments[0], arguments)
        except BaseException as error:
            os.write(writer, str(getattr(error, "strerror", None) or error).encode())
        os._exit(127)
    os.close(writer)
    problem = b""
    while part := os.read(reader, 1000):  # closed by a successful exec
        problem += part
    os.close(reader)
    return child, problem.decode(errors="replace")


def _ended(child: int) -> str | None:
    """Return how the command ended; None while it runs."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return "exit 1"
        if pid == child:
            return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        if pid == 0:
            return None


def _clear(child: int) -> None:
    """End what the command has left behind."""
    until = time.monotonic() + LEFT_SECONDS
    _send(child, signal.SIGTERM)
    for pid in _descendants():
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    while _descendants() and time.monotonic() < until:
        time.sleep(0.02)
        _ended(child)
    _send(child, signal.SIGKILL)


def main() -> None:
    """Start the command, wait for its end, obey."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Slurm sends it to every process of a job whose time is nearly up. The command ignores it too, unless it handles it
    # itself, since lrbench stops the command.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    _control(36, 1)  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes this one's child, so that it is found
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child, problem = _start(sys.argv[1:])
    said: str | None = f"error {problem}" if problem else None
    limit = 0.0  # when the command is killed, once lrbench is gone
    while said is None:
        ready = select.select([wake] if limit else [wake, 0], [], [], 0.5)[0]
        if wake in ready:
            os.read(wake, 1000)
        if 0 in ready:
            order = os.read(0, 1)
            if order in SIGNALS:
                _send(child, SIGNALS[order])
            elif not order:
                limit = time.monotonic() + GRACE_SECONDS
                _send(child, signal.SIGTERM)
        if limit and time.monotonic() > limit:
            _send(child, signal.SIGKILL)
        said = _ended(child)
    ended = time.monotonic()
    if _descendants():
        _clear(child)
    try:
        os.write(0, f"{ended} {said}".encode())
    except OSError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()

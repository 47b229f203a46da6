"""A model of the user's own that does something bad in its second step."""

from __future__ import annotations

SOURCE = """
    import atexit, ctypes, os, signal, subprocess, sys, threading, time
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, outputs, act):
            super().__init__()
            self.last, self.act, self.steps = nn.Linear(64, outputs), act, 0

        def forward(self, x):
            if self.training and torch.is_grad_enabled():  # not in the check
                self.steps += 1
                if self.steps == 2:
                    self.act()
            return self.last(x.flatten(1))

    kept = []

    def hang():
        while True:  # whatever tries to end it
            try:
                time.sleep(1000)
            except BaseException:
                pass

    def hang_in_c():
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)  # the second waits for ever and keeps Python from running

    def leak():
        while True:
            kept.append(bytearray(20_000_000))
            time.sleep(0.02)

    def leak_in_a_child():
        subprocess.run([sys.executable, "-c", "import time; kept = bytearray(900_000_000); time.sleep(1000)"])

    def crash():
        ctypes.string_at(0)

    def abort():
        os.abort()

    def end_in_a_thread():
        threading.Thread(target=os._exit, args=(3,)).start()
        time.sleep(60)

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    def read_input():
        input()

    def leave_thread():
        threading.Thread(target=time.sleep, args=(1000,), name="mine").start()

    def leave_exit():
        atexit.register(time.sleep, 1000)

    def build(outputs, act):
        return Net(outputs, globals()[act])

    once = []

    def leaving(step, act):
        if not once:
            once.append(globals()[act]())
        return 0.1
"""

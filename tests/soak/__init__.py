"""The soak: lrbench under harm, until each run is done, and then compared with a run that nothing happened to.

    python -m tests.soak                                  # make soak: all scenarios, at their full number of tries
    python -m tests.soak --only sweep-group --tries 20 --seed 7
    python -m tests.soak --list

`bench.py` starts commands and counts, `harmed.py` is the command line under a harm, `comparing.py` compares what runs
have written. The other files have the scenarios, which `scenarios.py` lists.
"""

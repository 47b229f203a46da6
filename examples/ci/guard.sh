#!/usr/bin/env bash
# Train the candidate and the baseline with the same five seeds; fail only if the candidate is surely worse.
# Words such as `--set epochs=1` are passed on to the training.
set -euo pipefail

lrbench run baseline.yaml candidate.yaml --seeds 5 "$@"
code=0
lrbench compare candidate baseline --json > decision.json || code=$?
cat decision.json
case $code in
  0 | 3 | 4) ;; # better, a tie, undecided
  *) exit 1 ;;  # worse, or a mistake
esac

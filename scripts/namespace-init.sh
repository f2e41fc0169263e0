#!/bin/bash
# Process 1 of the private namespaces (scripts/namespaces.mjs): namespace-init.sh PROGRAM [ARGUMENT…]
#
# Runs the program, hands on the signals whose names arrive on descriptor 3, and ends when that closes, which is
# when the process outside has died. When process 1 ends, the kernel ends all others. A shell, because it also
# buries processes whose parents are gone.
set -u
# `ip netns` keeps its names in /run, where an ordinary user may not write; work files go there too, and vanish.
mount -t tmpfs -o mode=755 tmpfs /run || exit 1
mkdir -m 1777 /run/lab || exit 1
export TMPDIR=/run/lab

# Job control: the program gets a process group of its own and keeps the default action of SIGINT.
set -m
"$@" 3<&- &
program=$!
trap 'exit 129' HUP
(
  while read -r signal <&3; do
    kill -s "$signal" "$program"
    # A program that is stuck must not keep the machine.
    (sleep 20 && kill -s HUP 1) &
  done
  kill -s HUP 1
) &
exec 3<&-
wait "$program"
exit $?

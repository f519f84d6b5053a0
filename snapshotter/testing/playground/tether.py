"""Runs a command that dies with the process that started it: `python tether.py PARENT COMMAND [ARGUMENT…]`.

Started by path and with nothing but the standard library, so that it costs no more than the interpreter. Linux
keeps the wish over `exec`, and carries it out however the parent ends.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the parent has gone")
    os.execv(command[0], command)  # noqa: S606 - to become the command is what this is for


if __name__ == "__main__":
    main()

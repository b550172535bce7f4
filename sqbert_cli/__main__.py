"""`python -m sqbert_cli` and the `sqbert` script."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while Python still reads: the end, without a traceback

from sqbert_cli.cli import main

if __name__ == "__main__":
    main()

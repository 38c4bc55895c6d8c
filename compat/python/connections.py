"""What the applications of test_connections.py have in common."""

THREADS = 4  # that send side by side, each to a partition of its own
RECORDS = 10  # of a thread in a transaction


def values(transaction, thread):
    return [b"%d-%d-%d" % (transaction, thread, n) for n in range(RECORDS)]


def is_aborted(transaction):
    return transaction % 3 == 1

#!/bin/sh
# There is no ZooKeeper, and the broker needs none: test modules start one before it.
exit 0

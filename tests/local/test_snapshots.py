"""What is held reaches the disk, and a disk that fails for a while costs nothing later."""

from __future__ import annotations

import asyncio
import json
import threading
import time

from local.snapshots import Snapshots


def encode(service, state):
    return json.dumps(state).encode()


def test_a_disk_that_cannot_be_written_is_tried_again_and_others_are_kept(tmp_path, caplog):
    states = {"full": lambda: {"a": 1}, "fine": lambda: {"b": 2}}
    snapshots = Snapshots(tmp_path, lambda: states, encode)
    # A folder in the place of the file that is written first.
    blocked = tmp_path / "full.json.unfinished"
    blocked.mkdir()
    snapshots.write()
    assert json.loads((tmp_path / "fine.json").read_text()) == {"b": 2}
    assert "full is not saved" in caplog.text
    blocked.rmdir()
    snapshots.write()
    assert json.loads((tmp_path / "full.json").read_text()) == {"a": 1}


def test_the_last_snapshot_waits_for_the_one_under_way(tmp_path):
    under_way, go_on = threading.Event(), threading.Event()
    order = []

    def slow():
        order.append("begin")
        under_way.set()
        assert go_on.wait(10)
        order.append("end")
        return {}

    snapshots = Snapshots(tmp_path, lambda: {"s3": slow}, encode)
    first = threading.Thread(target=snapshots.write)
    last = threading.Thread(target=snapshots.write)
    first.start()
    assert under_way.wait(10)
    last.start()
    last.join(0.2)
    go_on.set()
    first.join(10)
    last.join(10)
    assert order == ["begin", "end", "begin", "end"]


def test_slow_writes_are_rare_and_never_far_apart(tmp_path):
    starts = []

    def slow():
        starts.append(time.monotonic())
        time.sleep(0.08)
        return {}

    async def keep():
        snapshots = Snapshots(tmp_path, lambda: {"s3": slow}, encode)
        snapshots.touch()
        keeping = asyncio.create_task(snapshots.keep())
        await asyncio.sleep(5)
        keeping.cancel()

    asyncio.run(keep())
    between = starts[1] - starts[0]
    assert 2.2 < between < 3.8

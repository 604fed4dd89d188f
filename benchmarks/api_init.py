"""One fresh process: imports a function's handler, answers two requests, prints what each took.

    python api_init.py FOLDER EVENT

Prints seconds of CPU and of the clock: of the import, of the first answer, of the second.
"""

import sys
import time


def main(folder: str, event_file: str) -> None:
    sys.path.insert(0, folder)
    # Where the handler logs; what is printed here goes to the one who asked.
    told, sys.stdout = sys.stdout, sys.stderr
    marks = [(time.process_time(), time.perf_counter())]
    import handler

    marks.append((time.process_time(), time.perf_counter()))
    import json
    from pathlib import Path

    event = json.loads(Path(event_file).read_text())
    for _ in range(2):
        marks.append((time.process_time(), time.perf_counter()))
        answer = handler.handler(event, None)
        assert answer["statusCode"] == 200, answer
        marks.append((time.process_time(), time.perf_counter()))
    pairs = [marks[0:2], marks[2:4], marks[4:6]]
    for (cpu, wall), (cpu_after, wall_after) in pairs:
        print(cpu_after - cpu, wall_after - wall, file=told)


if __name__ == "__main__":
    main(*sys.argv[1:])

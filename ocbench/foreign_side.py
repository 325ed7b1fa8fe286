"""The foreign side of `ocbench bridge`: started by a model's own Python, with the path of the user's script.

Python 3.6 or newer and NumPy; nothing of ocbench. Frames come on standard input and go to what was standard output:
eight bytes of length, then an array as `numpy.save` writes it, without pickles. What the script prints goes to standard
error.
"""

import io
import os
import struct
import sys
import typing

import numpy as np


def receive(stream: typing.Any) -> typing.Any:
    """The next array, or None where the other side has ended."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    return np.load(io.BytesIO(stream.read(struct.unpack("<Q", head)[0])), allow_pickle=False)


def send(stream: typing.Any, array: typing.Any) -> None:
    """One array, whole."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    stream.write(struct.pack("<Q", buffer.tell()) + buffer.getvalue())
    stream.flush()


def script(path: str) -> typing.Dict[str, typing.Any]:  # noqa: UP006
    """What the user's script defines, its folder being importable as if it had been started."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    names = {"__name__": "foreign", "__file__": path}
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec"), names)
    return names


def main(path: str) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed may not come between the frames
    sys.stdout = sys.stderr
    predict = script(path).get("predict")
    if not callable(predict):
        sys.exit("'" + path + "' defines no function 'predict(images)'")
    while True:
        images = receive(sys.stdin.buffer)
        if images is None:
            return
        found = predict(images)
        labels, rebuilt = found if isinstance(found, tuple) else (found, np.zeros(0, np.float32))
        send(answers, np.asarray(labels))
        send(answers, np.asarray(rebuilt))


if __name__ == "__main__":
    main(sys.argv[1])

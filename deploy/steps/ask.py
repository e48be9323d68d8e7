"""Start a guard, ask it as its health check and a client would, and end it; used by rehearse.sh.

ask.py COMMAND...        the guard's command; GUARD_PROBE_PORT and GUARD_SAMPLES_DIR say the rest
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 60


def get(url: str, body: bytes | None = None) -> bytes:
    """Return the answer's body.

    Args:
        url: URL to ask.
        body: PNG to post; without one (None) the request is a GET.
    """
    request = urllib.request.Request(url, body, {"Content-Type": "image/png"} if body else {})
    # A proxy that the environment names does not know this machine's ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def wait_until_ready(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the guard is ready, asking as the image's HEALTHCHECK does."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            get(f"http://127.0.0.1:{os.environ['GUARD_PROBE_PORT']}/readyz")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    sys.exit(f"the guard is not ready (exit status {process.poll()})")


def main() -> None:
    """Start the guard, ask it and end it; exit with a message where an answer is wrong."""
    samples = Path(os.environ["GUARD_SAMPLES_DIR"])
    try:
        (samples / "written").touch()
    except OSError as error:
        print(f"the store cannot be written: {error.strerror}")
    else:
        sys.exit("the store can be written")
    process = subprocess.Popen(sys.argv[1:])
    try:
        wait_until_ready(process)
        for path in sorted(samples.iterdir()):
            answer = json.loads(get("http://127.0.0.1:8000/classify", path.read_bytes()))
            print(f"{path.name}: {answer['label']} {answer['verdict']}, {answer['mutants']} mutants")
        offered = json.loads(get("http://127.0.0.1:8000/samples"))["samples"]
        print(f"user {os.getuid()}; the console offers {len(offered)} samples")
        if b"mutant-guard" not in get("http://127.0.0.1:8000/"):
            sys.exit("there is no console at /")
    finally:
        process.terminate()
        status = process.wait(60)
    if status:
        sys.exit(f"the guard ended with {status}")


if __name__ == "__main__":
    main()

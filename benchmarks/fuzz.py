"""Hostile files for every reader: `python benchmarks/fuzz.py [NAME ...] [--seconds N] [--seed N]`.

Each input is a valid file of its kind with something wrong. It has to give a result or a
HintSegError, within TIME seconds and MEMORY bytes, and nothing may be written outside its folder.
Anything else is printed once, with its number; `--only NUMBER` runs that input alone. With
`--atheris` the choice of inputs follows the lines of hintseg that they reach (one reader a run).
"""

import argparse
import faulthandler
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

TIME, MEMORY = 20, 3 * 2**30  # seconds of the processor and bytes, for one input
BACKSTOP = 600  # seconds; C code that does not come back ends the fuzzing


class Hang(BaseException):
    """An input took too long."""


def main() -> None:
    """Run the readers one after another, each for so many seconds."""
    given = _arguments()
    if given.atheris:
        import atheris  # noqa: PLC0415 - its hooks come before the imports that it watches

        with atheris.instrument_imports(include=["hintseg"]):
            import hintseg  # noqa: F401, PLC0415
    from fuzz_targets import targets  # noqa: PLC0415

    found = targets()
    wanted = [name for name in found if not given.names or name in given.names]
    if not wanted:
        sys.exit(f"no reader {', '.join(given.names)}; choose from {', '.join(found)}")
    _limit_memory()
    finds = 0
    for name in wanted:
        if given.atheris:
            _by_atheris(name, found[name], given)
        finds += _fuzz(name, found[name], given)
    sys.exit(1 if finds else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="readers; default: all")
    parser.add_argument(
        "--seconds", type=float, default=10, help="of the processor, for each reader"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one input to read")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    return parser.parse_args()


def _fuzz(name, target, given) -> int:
    """Inputs of one reader; number of finds."""
    from fuzz_targets import hostile  # noqa: PLC0415

    kinds, began, number, finds = Counter(), time.process_time(), 0, {}
    with TemporaryDirectory(prefix="fuzz-") as place:
        valid = Path(place) / "valid"
        target.make(valid)
        numbers = [given.only] if given.only is not None else iter(int, 1)
        for _ in numbers:
            if given.only is None and time.process_time() - began > given.seconds:
                break
            number = given.only if given.only is not None else number + 1
            rng = random.Random(f"{given.seed} {name} {number}")

            def fill(folder, rng=rng):
                hostile(target, valid, folder, rng)

            outcome, text = attempt(target, fill)
            kinds[outcome] += 1
            if outcome == "find" and text.splitlines()[0] not in finds:
                finds[text.splitlines()[0]] = number
                print(f"FIND {name} #{number} (seed {given.seed}): {text}", flush=True)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"{name}: {sum(kinds.values())} inputs: {told}; {len(finds)} different finds", flush=True)
    return len(finds)


def attempt(target, fill) -> tuple[str, str]:
    """What becomes of one input: read, refused or a find, and its traceback."""
    from fuzz_targets import refused  # noqa: PLC0415

    from hintseg.errors import HintSegError  # noqa: PLC0415

    with TemporaryDirectory(prefix="fuzz-") as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(place) / "box" / "in"
        folder.parent.mkdir()
        fill(folder)
        signal.signal(signal.SIGPROF, _hang)
        signal.setitimer(signal.ITIMER_PROF, TIME)
        faulthandler.dump_traceback_later(BACKSTOP, exit=True)
        try:
            target.read(folder)
            outcome, text = "read", ""
        except HintSegError as error:
            outcome, text = "refused", ""
            try:
                refused(error)
            except AssertionError as wrong:
                outcome, text = "find", f"{wrong}"
        except (Exception, Hang) as error:
            outcome, text = "find", _told(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
        strange = [path.name for path in Path(place).iterdir() if path.name != "box"]
        if strange:
            outcome, text = "find", f"written outside: {strange}"
        return outcome, text


def _told(error: BaseException) -> str:
    """Kind of the error and the lines of ours that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame for frame in frames if "hintseg" in frame.filename and "fuzz" not in frame.filename
    ]
    at = ours[-1] if ours else frames[-1]
    way = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(ours[-6:]))
    last = frames[-1]
    return (
        f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno} {at.name}\n"
        f"    {str(error)[:200]!r}\n    {way} (raised in {last.filename[-60:]}:{last.lineno})"
    )


def _hang(*_: object) -> None:
    raise Hang(f"more than {TIME} s")


def _limit_memory() -> None:
    """An input that wants gigabytes gets a MemoryError; libraries are loaded before."""
    import h5py  # noqa: F401, PLC0415
    import matplotlib.figure  # noqa: F401, PLC0415
    import tifffile  # noqa: F401, PLC0415
    import torch  # noqa: F401, PLC0415

    import hintseg.training  # noqa: F401, PLC0415

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def _by_atheris(name, target, given) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415
    from fuzz_targets import hostile  # noqa: PLC0415

    place = TemporaryDirectory(prefix="fuzz-")
    valid = Path(place.name) / "valid"
    target.make(valid)
    seen, count = set(), Counter()

    def one(data: bytes) -> None:
        def fill(folder):
            hostile(target, valid, folder, random.Random(data[:8]))
            files = [p for pattern in target.files for p in sorted(folder.glob(pattern))]
            if len(data) > 16 and files:
                files[data[8] % len(files)].write_bytes(data[9:])

        outcome, text = attempt(target, fill)
        count[outcome] += 1
        head = text.partition("\n")[0]
        if outcome == "find" and head not in seen:
            seen.add(head)
            print(f"FIND {name} (atheris): {text}\n    {data[:300]!r}", flush=True)
        if sum(count.values()) % 50 == 0:
            print(f"{name} (atheris): {dict(count)}; {len(seen)} finds", flush=True)

    corpus = Path(place.name) / "corpus"
    corpus.mkdir()
    for pattern in target.files:
        for path in valid.glob(pattern):
            (corpus / path.name).write_bytes(b"\0" * 9 + path.read_bytes())
    words = [f"-max_total_time={int(given.seconds)}", "-rss_limit_mb=0", "-timeout=200"]
    atheris.Setup([sys.argv[0], *words, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

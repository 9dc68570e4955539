#!/usr/bin/env python3
"""Replays a Dockerfile's steps in a clean Debian chroot, where no container engine is at hand.

    sudo deploy/replay_dockerfile.py --root /var/tmp/hushtap-image [--suite bookworm] [--bind /srv/wheels]...

The base image becomes a Debian of the suite with its Python and pip; RUN, COPY, USER, WORKDIR and VOLUME are done as
a container engine would do them; then the ENTRYPOINT is started with its CMD, as the USER, until the HEALTHCHECK
succeeds. Ends with status 1 at the first step that fails. Needs root and debootstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BASE_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
HEALTHY_SECONDS = 60.0
KNOWN = {
    "FROM",
    "RUN",
    "COPY",
    "USER",
    "WORKDIR",
    "VOLUME",
    "EXPOSE",
    "HEALTHCHECK",
    "ENTRYPOINT",
    "CMD",
    "ENV",
}


class StepFailed(Exception):
    """A step did not do what the Dockerfile asks."""


@dataclass
class Image:
    root: Path
    user: str = "root"
    folder: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def inside(self, command: list[str]) -> list[str]:
        """The command line that runs another in the image as its present user, in its present folder."""
        script = f'cd {shlex.quote(self.folder)} && exec "$@"'
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        chroot = ["chroot", f"--userspec={self.user}", str(self.root)]
        return [*chroot, "/usr/bin/env", *variables, "sh", "-c", script, "sh", *command]

    def do(self, command: list[str]) -> None:
        if subprocess.run(self.inside(command), check=False).returncode:
            raise StepFailed(f"failed in the image: {shlex.join(command)}")


def steps(text: str) -> list[tuple[str, str]]:
    """Instruction and argument of each line, continued ones joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, rest in found]


def listed(argument: str) -> list[str]:
    """The words of an exec form, or a shell's command line."""
    if not argument.startswith("["):
        return ["sh", "-c", argument]
    words: list[str] = json.loads(argument)
    return words


def make_base(image: Image, suite: str, binds: list[Path]) -> None:
    if image.root.exists() and any(image.root.iterdir()):
        raise StepFailed(f"{image.root} is not empty; a clean folder is needed")
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", suite, str(image.root)], check=True
    )
    for marker in image.root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()  # the base image's Python is not the system's
    (image.root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for kind, place in (("proc", "proc"), ("sysfs", "sys")):
        subprocess.run(["mount", "-t", kind, kind, str(image.root / place)], check=True)
    for bind in binds:
        target = image.root / bind.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if bind.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        subprocess.run(["mount", "--bind", str(bind), str(target)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(target)], check=True)
    image.environment |= {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    image.environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def copy(image: Image, argument: str) -> None:
    """COPY of the whole context, less what .dockerignore names."""
    source, target = argument.split()
    if source != ".":
        raise StepFailed(f"COPY {argument}: only the whole context can be copied")
    ignored = (SOURCE / ".dockerignore").read_text(encoding="utf-8").split()
    shutil.copytree(
        SOURCE, image.root / target.lstrip("/"), symlinks=True,
        ignore=shutil.ignore_patterns(*(pattern.removeprefix("**/") for pattern in ignored)),
    )  # fmt: skip


def step(image: Image, word: str, argument: str) -> None:
    match word:
        case "RUN":
            image.do(listed(argument))
        case "COPY":
            copy(image, argument)
        case "USER":
            image.user = argument
        case "WORKDIR":
            image.folder = argument
            (image.root / argument.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "ENV":
            image.environment |= dict(pair.split("=", 1) for pair in shlex.split(argument))
        case "ENTRYPOINT":
            image.entrypoint = listed(argument)
        case "CMD":
            image.command = listed(argument)
        case "HEALTHCHECK":
            image.health = listed(argument.split("CMD", 1)[1].strip())
        case _ if word not in KNOWN:
            raise StepFailed(f"{word} is not known here")


def run_until_healthy(image: Image) -> None:
    """Start what the image is for and wait for its own health check."""
    began = time.monotonic()
    with subprocess.Popen(image.inside([*image.entrypoint, *image.command])) as program:
        try:
            while subprocess.run(
                image.inside(image.health), check=False, stderr=subprocess.DEVNULL
            ).returncode:
                if program.poll() is not None or time.monotonic() - began > HEALTHY_SECONDS:
                    raise StepFailed("the program did not become healthy")
                time.sleep(0.5)
        finally:
            program.terminate()


def enter_own_mounts() -> None:
    """Go on in a mount namespace of our own: whatever happens, no mount is left behind in the folder."""
    if os.environ.get("REPLAY_MOUNTS") != "own":
        os.environ["REPLAY_MOUNTS"] = "own"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="an empty folder for the image")
    parser.add_argument("--suite", default="bookworm", help="Debian release (bookworm)")
    parser.add_argument(
        "--bind", type=Path, action="append", default=[], help="seen in the image at its own path"
    )
    options = parser.parse_args()
    enter_own_mounts()
    image = Image(options.root)
    try:
        for word, argument in steps((SOURCE / "Dockerfile").read_text(encoding="utf-8")):
            print(f"== {word} {argument}", flush=True)
            if word == "FROM":
                make_base(image, options.suite, options.bind)
            else:
                step(image, word, argument)
        run_until_healthy(image)
    except (StepFailed, subprocess.CalledProcessError) as error:
        print(f"replay_dockerfile.py: {error}", file=sys.stderr)
        return 1
    print("the image was built, its program started and became healthy")
    return 0


if __name__ == "__main__":
    sys.exit(main())

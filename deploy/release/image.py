"""The steps of a release that verify or tag an image in its registry.

An image is pushed without a tag, verified and signed by its digest, and tagged last. The tag of a
full version never moves. The tag X.Y moves, but never to a pre-release.

    image.py tags VERSION
    image.py verify IMAGE DIGEST VERSION REVISION
    image.py tag IMAGE DIGEST TAG...
"""
# ruff: noqa: INP001, T201 - a script for the workflow, not a package; it prints its result

from __future__ import annotations

import json
import re
import subprocess
import sys

PLATFORMS = {"linux/amd64", "linux/arm64"}
SERIES = re.compile(r"\d+\.\d+")
CONFINED = ("--rm", "--read-only", "--cap-drop=ALL", "--network=none")


class RefusedError(Exception):
    """Why the release must stop."""


def tags(version: str) -> list[str]:
    """The image tags of this version: `X.Y.Z`, and `X.Y` unless it is a pre-release."""
    series, _, patch = version.rpartition(".")
    return [version, series] if SERIES.fullmatch(series) and patch.isdigit() else [version]


def verify(image: str, digest: str, version: str, revision: str) -> None:
    """Run the image of each platform by its digest. Raises RefusedError."""
    found = _platforms(image, digest)
    if found.keys() != PLATFORMS:
        raise RefusedError(f"{image}@{digest} is for {', '.join(sorted(found)) or 'no platform'}")
    expected = f"version {version} (revision: {revision})"
    for platform, own in found.items():
        run = ("docker", "run", *CONFINED, f"--platform={platform}", f"{image}@{own}")
        said = _output(*run, "--version")
        if expected not in said:
            raise RefusedError(f"the image for {platform} says {said!r} instead of {expected!r}")


def _platforms(image: str, digest: str) -> dict[str, str]:
    """The digests in an index by platform. SBOM and provenance have no platform."""
    index = json.loads(_output(*_INSPECT, "--raw", f"{image}@{digest}"))
    return {
        f"{each['platform']['os']}/{each['platform']['architecture']}": each["digest"]
        for each in index.get("manifests", [])
        if each["platform"]["os"] != "unknown"
    }


def tag(image: str, digest: str, *names: str) -> None:
    """Point the tags to this digest. Raises RefusedError before any of them has moved."""
    for name in names:
        there = None if SERIES.fullmatch(name) else _digest(f"{image}:{name}")
        if there not in {None, digest}:
            raise RefusedError(f"{image}:{name} is {there}, and never moves: raise the version")
    options = [f"--tag={image}:{name}" for name in names]
    _output("docker", "buildx", "imagetools", "create", *options, f"{image}@{digest}")
    for name in names:
        there = _digest(f"{image}:{name}")
        if there != digest:
            raise RefusedError(f"{image}:{name} is {there} instead of {digest}")


def _digest(reference: str) -> str | None:
    """The digest of a tag, or None if the tag does not exist."""
    command = (*_INSPECT, "--format={{.Manifest.Digest}}", reference)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return done.stdout.strip()
    if "not found" in done.stderr:
        return None
    raise RefusedError(f"{reference} cannot be inspected: {done.stderr.strip()}")


_INSPECT = ("docker", "buildx", "imagetools", "inspect")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise RefusedError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def main(name: str, *arguments: str) -> int:
    """The exit code."""
    try:
        if name == "tags":
            print(" ".join(tags(*arguments)))
        else:
            {"verify": verify, "tag": tag}[name](*arguments)
    except RefusedError as error:
        print(f"image.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Collect the wheels of a container's image: sixpoint's own, and those of all that it needs.

Run it with the Python of the image's base, on Linux with a C compiler: ``python3.12 containers/wheels.py gateway``.
The image is then built without a network, a compiler or a package index.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Extras of sixpoint by image.
EXTRAS = {"gateway": "gateway,tracing", "exporter": "exporter", "trainer": "trainer"}
# Besides, for a gateway that reads image files.
IMAGE_EXTRAS = "dicomweb"

# They read image files, and take 350 MB. tests/gateway/test_imports.py holds that the gateway starts without.
IMAGE_FILES = frozenset({"highdicom", "nibabel", "pillow", "pydicom", "simpleitk"})
# Their wheels come with symbols for debuggers, 65 MB in all.
WITH_SYMBOLS = frozenset({"cryptography", "ml_dtypes", "obstore", "python_rapidjson", "sqlalchemy", "zstandard"})
# Their tests and static libraries: 20 MB in all.
FOR_DEVELOPERS = frozenset({"blosc2", "nibabel", "numpy"})


def main() -> None:
    """Fill a folder with wheels."""
    parser = argparse.ArgumentParser(description="Collect the wheels of a container's image.")
    parser.add_argument("image", choices=EXTRAS, help="image to collect for")
    parser.add_argument(
        "--image-files",
        action="store_true",
        help="also collect what reads image files and DICOM: 3D Slicer, MITK and OHIF need it in the gateway",
    )
    parser.add_argument("--output", type=Path, help="folder for the wheels; default: out/wheels/IMAGE")
    arguments = parser.parse_args()
    output = arguments.output or ROOT / "out" / "wheels" / arguments.image
    if arguments.image == "gateway" and not shutil.which("strip"):
        parser.error("there is no program strip; install binutils")
    if arguments.image != "gateway" and arguments.image_files:
        parser.error("--image-files is for the gateway; the others always have it")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    collect(arguments.image, output, image_files=arguments.image_files)
    wheels = list(output.glob("*.whl"))
    sys.stdout.write(
        f"{len(wheels)} wheels, {sum(wheel.stat().st_size for wheel in wheels) / 1e6:.0f} MB, in {output}\n"
    )


def collect(image: str, output: Path, *, image_files: bool) -> None:
    """Collect the wheels of an image in an empty folder.

    Args:
        image: Name of the image.
        output: The folder.
        image_files: Whether the gateway gets what reads image files.
    """
    extras = f"{EXTRAS[image]},{IMAGE_EXTRAS}" if image_files else EXTRAS[image]
    with tempfile.TemporaryDirectory(prefix="sixpoint-wheels-") as folder:
        _pip("wheel", "--no-deps", "--wheel-dir", folder, str(ROOT))
        (own,) = Path(folder).glob("sixpoint-*.whl")
        if image == "gateway" and not image_files:
            rewrite_wheel(own, without_image_files)
        # pip installs the wheels from its own one: a base may lack it.
        _pip(
            "download",
            "--only-binary",
            ":all:",
            "--dest",
            str(output),
            "pip",
            f"sixpoint[{extras}] @ {own.as_uri()}",
        )
    for wheel in output.glob("*.whl") if image == "gateway" else ():
        name = wheel.name.partition("-")[0].lower()
        if name in WITH_SYMBOLS:
            rewrite_wheel(wheel, without_symbols)
        if name in FOR_DEVELOPERS:
            rewrite_wheel(wheel, without_developers_files)
    write_requirements(extras, output)


def write_requirements(extras: str, output: Path) -> None:
    """Name what is installed from the wheels, with its version.

    Args:
        extras: Extras of sixpoint.
        output: Folder of the wheels.
    """
    lines = []
    for wheel in sorted(output.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        if name != "pip":
            lines.append(f"{name}[{extras}]=={version}" if name == "sixpoint" else f"{name}=={version}")
    (output / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))


def rewrite_wheel(wheel: Path, edit: Callable[[str, bytes], bytes | None]) -> None:
    """Replace the files of a wheel, and their hashes in its record.

    Args:
        wheel: Wheel to rewrite.
        edit: Given a file's name and content, returns its new content; None to leave it out.
    """
    rewritten = wheel.with_suffix(".new")
    rows = []
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as target:
        (record,) = (info for info in source.infolist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", info.filename))
        for info in source.infolist():
            if info is record or info.is_dir():
                continue
            if (content := edit(info.filename, source.read(info))) is None:
                continue
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((info.filename, f"sha256={digest}", len(content)))
            target.writestr(info, content)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (record.filename, "", "")])
        target.writestr(record, text.getvalue())
    rewritten.replace(wheel)


def without_image_files(name: str, content: bytes) -> bytes:
    """Take the packages that read image files from the requirements of sixpoint."""
    if not re.fullmatch(r"[^/]+\.dist-info/METADATA", name):
        return content
    names = "|".join(sorted(IMAGE_FILES))
    return re.sub(rf"(?mi)^Requires-Dist: (?:{names})(?![\w.-])[^;\n]*\n".encode(), b"", content)


def without_symbols(name: str, content: bytes) -> bytes:
    """Strip a shared library of its symbols for debuggers."""
    if not name.endswith(".so"):
        return content
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(content)
        file.flush()
        subprocess.run(["strip", "--strip-unneeded", file.name], check=True)
        return Path(file.name).read_bytes()


def without_developers_files(name: str, content: bytes) -> bytes | None:
    """Leave out a package's own tests, and what only a compiler reads."""
    return None if "/tests/" in name or name.endswith((".a", ".pyx")) else content


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


if __name__ == "__main__":
    main()

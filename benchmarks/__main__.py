"""All measurements of speed and memory in one run, on servers that it starts and stops.

python -m benchmarks                                                     # on the phantom CT
python -m benchmarks ct.nii.gz label.nii.gz --label 5 --peer http://127.0.0.1:8123 --json out/speed.json
"""

from __future__ import annotations

from benchmarks.report import main

if __name__ == "__main__":
    import typer

    typer.run(main)

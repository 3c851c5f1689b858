"""Stands where pip would in a worker's image: Beam's boot asks `pip show` and `pip freeze`, and nothing may install."""

import sys
from importlib.metadata import PackageNotFoundError, distributions, version

if sys.argv[1:2] == ["show"]:
    try:
        print(f"Name: {sys.argv[-1]}\nVersion: {version(sys.argv[-1])}")
    except PackageNotFoundError:
        sys.exit(1)
elif sys.argv[1:2] == ["freeze"]:
    print("\n".join(sorted(f"{item.metadata['Name']}=={item.version}" for item in distributions())))
else:
    sys.exit("This image installs nothing: its packages are its lock's.")

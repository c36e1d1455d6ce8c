"""Are these packages whole in this environment? check_venv.py NAME[==VERSION] ...

Compares every installed file's size with its package's list, since pip leaves no trace of having been interrupted.
Says what is wrong in one line and exits with 1.
"""

import importlib.metadata
import os
import sys


def problem(requirement):
    name, _, version = requirement.partition("==")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is missing"
    if version and found.partition("+")[0] != version:
        return f"{name} is {found} instead of {version}"
    return None


def damage(package):
    if package.files is None:
        return f"{package.name} has no list of files"
    for file in package.files:
        path = package.locate_file(file)
        if file.size is not None and (not os.path.exists(path) or os.path.getsize(path) != file.size):
            return f"{package.name}: {file} is not as installed"
    return None


def main(requirements):
    for line in map(problem, requirements):
        if line:
            return line
    for line in map(damage, importlib.metadata.distributions()):
        if line:
            return line
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

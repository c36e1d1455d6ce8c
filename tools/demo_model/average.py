"""The mean of some weights of one network, of sittings that followed one another: average.py OUT.pt WEIGHTS.pt WEIGHTS.pt …"""

import sys

import weights_file


def main(out, *paths):
    all_of_them = [weights_file.load(path, "cpu") for path in paths]
    weights_file.save(out, {name: sum(w[name] for w in all_of_them) / len(paths) for name in all_of_them[0]})


if __name__ == "__main__":
    main(*sys.argv[1:])

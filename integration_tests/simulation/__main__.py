"""Run simulated worlds: `python -m integration_tests.simulation --seeds 2000`, or `--seed 17`."""

import argparse
import sys

from integration_tests.simulation.run import Progress, run_seed, run_seeds


def main() -> int:
    """Return 0 when every promise held in every world."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this world, and all that is broken in it")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        broken = run_seed(arguments.seed)
        print("\n".join(broken) or f"seed {arguments.seed}: every promise holds")
        return 1 if broken else 0
    progress = Progress(arguments.seeds)
    failed = run_seeds(range(arguments.first, arguments.first + arguments.seeds), progress)
    print(progress.summary())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

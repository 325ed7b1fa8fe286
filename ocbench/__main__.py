"""`python -m ocbench`, for launchers such as torchrun."""

from ocbench.cli import main

if __name__ == "__main__":
    main()

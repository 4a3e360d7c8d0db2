"""`python -m visrec.cli`."""

from visrec.cli import main

if __name__ == "__main__":
    main()

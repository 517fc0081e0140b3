"""`python -m benchmarks`. Imports little: each process that is measured imports this as well."""

if __name__ == "__main__":
    from benchmarks.command import main

    main()

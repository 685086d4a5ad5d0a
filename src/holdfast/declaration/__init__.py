"""What all files have in common that declare something: topologies, chaos experiments.

Such a file is read strictly, and every mistake in it is told at once, with its line:
- `source` reads YAML as plain data with lines, and words what is wrong (`Problem`, `Source.report`)
- `base` and `values` are what models of such files are made of
- `wording` says pydantic's errors in the words of a file
"""

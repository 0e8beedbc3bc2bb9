"""Acceptance cases: worlds, steps and what each step must give, played through the services' public interfaces.

`python -m gongji_local.cases FILE…` (also `make cases CASES=FILE`) plays every case of the files, one after another.
"""

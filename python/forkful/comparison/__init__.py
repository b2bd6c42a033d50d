"""forkful beside the standard library and other packages' pools, measured where it is installed: `forkful bench`.

Knows: the public names of those whom it measures. Does not know: terminals, and who wants the figures.

`measures` is the list; `rounds` runs each subject in a process of its own, whose inside is `work` over `subjects` and
`tasks`; `results` are values; `chart` draws them. benches/ of the source tree measures more, and longer.
"""

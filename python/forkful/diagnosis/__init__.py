"""What a machine offers to forkful's pools, and what it doesn't: `forkful doctor`.

Knows: the kernel's files, and what can be tried. Does not know: terminals.

`facts` are values, `questions` ask for them (with `groups`, which reads cgroups), `trials` really try; `findings` judges,
from values alone.
"""

"""Several processes of one service, under a parent that runs none of the user's code.

The parent (`supervisor`) starts children and starts them again when they die or when files
changed (`changes`). Parent and child talk over one socket (`messages`): the child asks for
listening sockets (`listeners`) and says when it is ready; when either end is gone, the other one
sees the end of file, so that no child outlives its parent, whatever killed it.
"""

from __future__ import annotations

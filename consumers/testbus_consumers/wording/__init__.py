"""What people read: every text is made here, as data, and rendered for its channel; standard library and events only.

`numbers` and `text` say how a number, a name, a message or a run is written; `notice` is a message as data; `runs`,
`regressions`, `issues` and `launches` say it; `slack` and `markdown` write it.
"""

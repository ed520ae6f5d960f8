"""Whatever is killed, whenever: `python -m tests.chaos`.

A stack of real processes ingests folders that change all the time, while faults strike it one after the other and at
once. When they end, everything has to settle by itself, and the files, the rows and Milvus have to agree to the last
chunk.

``points``    named places in our code where a process can be killed or stopped, and what can be switched off
``inside``    what every process of the stack loads to make that so, by ``hooks/sitecustomize.py``
``stub``      an embedder that is loaded in no time
``stack``     the processes by their roles
``faults``    what can be done to them
``workload``  the folders and their changes
``readers``   people who search meanwhile
``verdict``   what must be true at the end
``harness``   all of it together
"""

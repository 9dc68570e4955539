"""The shell: the only sockets, processes, timers and clocks."""

"""The shared engine of the four intake services (接收引擎).

A submitted event is checked and normalised (``pipeline``), looked up in the instance's own index of
what is on the log (``index``, fed by ``tail``), published when it is new (``publisher``) and
answered with the receipt of the first record that holds it (``engine``, ``servicer``).
"""

"""What all tests share: linear algebra on one thread, as the program has it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""The parts of the test bed `two_machines.py`: networks, programs, an observer, figures."""

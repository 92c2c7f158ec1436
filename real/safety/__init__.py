"""What stands between a setpoint and a motor: pure stages, one file each, run in one fixed order that nobody can skip.

    stage            file             question
    timing           timing.py        did the tick run when it should?
    sample           plausible.py     is there a fresh reading, and can it be true?
    liveness         liveness.py      is the policy alive, and does it act on what it saw lately?
    ingress          ingress.py       is the chunk whole, finite, of this robot, and near where the arm is?
    shape            limits.py        the setpoint of this instant, saturated to what may be asked
    commit           commit.py        Ruckig's next step, taken only if a stop from it is inside every limit
    egress           egress.py        the same limits again on the numbers to be written, by another formula

This is not a safety-rated system. It runs on an ordinary operating system; a software stop is not an emergency stop.
"""

"""MuJoCo chooses its OpenGL when it is first imported, whichever test module does that."""

from sim import gl

gl.choose()

"""PyBullet as a second engine: the world is read from a compiled MjModel and built again from Bullet's own parts."""

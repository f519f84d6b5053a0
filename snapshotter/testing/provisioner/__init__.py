"""A provisioner for the playground: volumes for claims, also from snapshots, and the binding of both.

It stands for the external-provisioner beside a driver and for the part of the controller manager that binds claims to
volumes. As no pod runs here, a class that waits for the first consumer does not wait. `plan.py` decides,
`provisioner.py` acts.
"""

from snapshotter.testing.provisioner.provisioner import Provisioner, provisioning

__all__ = ["Provisioner", "provisioning"]

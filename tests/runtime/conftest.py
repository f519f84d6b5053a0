"""Property tests have no deadline for a single example: the machine may be busy with something else."""

from hypothesis import settings

settings.register_profile("snapshotter", deadline=None)
settings.load_profile("snapshotter")

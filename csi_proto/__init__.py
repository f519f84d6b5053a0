"""The Container Storage Interface: csi.proto and the Python modules generated from it."""

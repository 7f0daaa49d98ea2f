"""The .qdnn file: one network in all its modes; its first bytes are the network with fewer bits. Page: docs/artifact_format.md.

write, encode: IntegerModel -> file; read, decode: file, address or prefix -> IntegerModel; header, sections: the layout.
"""

from __future__ import annotations

from quantizable.artifact.header import Header
from quantizable.artifact.read import Artifact, open_artifact, read_header
from quantizable.artifact.sections import Section, StoredMode, StoredWeight
from quantizable.artifact.write import save_artifact

__all__ = ["Artifact", "Header", "Section", "StoredMode", "StoredWeight", "open_artifact", "read_header", "save_artifact"]

"""What kind of filesystem a path lies on, and whether SQLite may be kept there.

SQLite relies on locks that every process sees and on bytes that are on the disk when the system says so. Filesystems
of another machine, or of the host of a virtual one, promise both and keep neither under load: databases there have
been corrupted. So a study in SQLite is refused on them before anything is written. What is known to be local, and what
nobody has heard of, is admitted; an overlay is as good as what lies below it, which cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from abr_tune.errors import EnvironmentFault

REMOTE: Final[Mapping[str, str]] = {
    "9p": "a folder of the host, or a Windows drive (9p)",
    "acfs": "a cluster filesystem (ACFS)",
    "afpfs": "an Apple share (AFP)",
    "afs": "AFS",
    "beegfs": "a cluster filesystem (BeeGFS)",
    "ceph": "a cluster filesystem (Ceph)",
    "cifs": "a Windows share (CIFS)",
    "coda": "Coda",
    "drvfs": "a Windows drive in WSL (drvfs)",
    "glusterfs": "a cluster filesystem (GlusterFS)",
    "gpfs": "a cluster filesystem (GPFS)",
    "lustre": "a cluster filesystem (Lustre)",
    "ncpfs": "a NetWare share",
    "nfs": "NFS",
    "nfs4": "NFS",
    "orangefs": "a cluster filesystem (OrangeFS)",
    "panfs": "a cluster filesystem (PanFS)",
    "prl_fs": "a folder of the host (Parallels)",
    "pvfs2": "a cluster filesystem (PVFS2)",
    "quobyte": "a cluster filesystem (Quobyte)",
    "smb3": "a Windows share (SMB)",
    "smbfs": "a Windows share (SMB)",
    "vboxsf": "a folder of the host (VirtualBox)",
    "vmhgfs": "a folder of the host (VMware)",
    "webdav": "WebDAV",
    "wekafs": "a cluster filesystem (Weka)",
}
"""Type of filesystem, as the system names it -> what that is. virtiofs is none of them: its locks hold within the one
machine that mounts it, and a flush reaches the host's disk."""
FUSE: Final = ("fuse", "macfuse", "osxfuse")
"""A program answers for such a filesystem, `fuse.sshfs` for one: most of them reach another machine. (fuseblk is a disk
of this one.)"""
LOCAL_FUSE: Final = frozenset(
    {"fuse.bindfs", "fuse.encfs", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.mergerfs", "fuse.ntfs-3g"}
)
"""Programs that pass on what lies on a disk of this machine."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A filesystem and where it is mounted."""

    point: Path
    type: str
    """As the system names it: ext4, nfs4, fuse.sshfs."""

    @property
    def remote(self) -> str | None:
        """What it is, if SQLite is not to be trusted to it; None where it may be."""
        kind, _, program = self.type.partition(".")
        if kind in FUSE and self.type not in LOCAL_FUSE:
            return f"a filesystem that a program answers for ({program or kind})"
        return REMOTE.get(self.type)


def mounts() -> list[Mount]:
    """What is mounted on this machine, in the order it was."""
    import psutil

    return [Mount(Path(each.mountpoint), each.fstype) for each in psutil.disk_partitions(all=True)]


def mount_of(path: Path, known: Iterable[Mount]) -> Mount | None:
    """The filesystem a path lies on, or will: the longest mount point above it, the last of several there.

    Links are followed. None where `known` has none above it.
    """
    real = path.resolve()
    above = [mount for mount in known if real.is_relative_to(mount.point)]
    return max(enumerate(above), key=lambda each: (len(each[1].point.parts), each[0]), default=(0, None))[1]


def refuse_remote(storage: str | None, folder: Path) -> None:
    """Refuse a study in SQLite on a filesystem that is not this machine's; `storage` None: in `folder`.

    Raises:
        EnvironmentFault: it lies on one; nothing was written.
    """
    file = folder / "study.db" if storage is None else sqlite_file(storage)
    found = None if file is None else mount_of(file, mounts())
    if file is None or found is None or found.remote is None:
        return
    elsewhere = "--out with a folder on a local disk" if storage is None else "--storage sqlite:/// with a local path"
    raise EnvironmentFault(
        f"{file} would lie on {found.remote}, mounted at {found.point}: SQLite's locks do not hold there, and a study "
        f"could be damaged. Give {elsewhere}, or keep the study in PostgreSQL with "
        "--storage postgresql+psycopg://user@host/database"
    )


def sqlite_file(storage: str) -> Path | None:
    """The file of a SQLite storage URL; None for another storage, and for one that is kept in memory."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return None
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database).removeprefix("file:"))
